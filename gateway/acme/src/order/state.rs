//! The states of an order (RFC 8555 §7.1.6) as types: what an order can do depends on what it is, and
//! each step consumes the state before it.
//!
//! ```text
//! Pending ──every name authorized──▶ Ready ──finalize──▶ Processing ──issued──▶ Valid
//!    │                                │◀─────reject─────────│
//!    └────────────fail────────────────┴──────fail───────────┴──────▶ Invalid
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::challenge::ChallengeType;
use crate::failure::{Failure, FailureKind};
use crate::id::AuthorizationId;
use crate::identifier::Identifier;

/// An order in the state `S`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct In<S> {
    #[serde(flatten)]
    facts: Facts,
    #[serde(flatten)]
    state: S,
}

/// Some names wait for their authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    validated: BTreeMap<AuthorizationId, Validated>,
}

/// Every name is authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    validated: Vec<Validated>,
    /// What was wrong with the CSR that came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<Failure>,
}

/// The certificate is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processing {
    validated: Vec<Validated>,
    /// The CSR in DER, base64url.
    csr: String,
}

/// The certificate is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Valid {
    certificate: String,
}

/// There will be no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    failure: Failure,
}

/// A name that the account proved to control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// The name as the order has it.
    pub identifier: Identifier,
    /// How it was proved.
    pub method: ChallengeType,
}

/// An order in whichever state it is: what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Order {
    /// See [`Pending`].
    Pending(In<Pending>),
    /// See [`Ready`].
    Ready(In<Ready>),
    /// See [`Processing`].
    Processing(In<Processing>),
    /// See [`Valid`].
    Valid(In<Valid>),
    /// See [`Invalid`].
    Invalid(In<Invalid>),
}

impl<S> In<S> {
    /// What does not change.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl In<Pending> {
    /// A new order.
    pub fn new(facts: Facts) -> Self {
        Self { facts, state: Pending { validated: BTreeMap::new() } }
    }

    /// One of the order's authorizations became valid. The last one makes it ready.
    #[must_use]
    pub fn authorized(self, authorization: AuthorizationId, name: Validated) -> Order {
        let Self { facts, mut state } = self;
        state.validated.insert(authorization, name);
        if facts.authorizations.iter().all(|id| state.validated.contains_key(id)) {
            let validated = state.validated.into_values().collect();
            Order::Ready(In { facts, state: Ready { validated, rejected: None } })
        } else {
            Order::Pending(Self { facts, state })
        }
    }

    /// One of the names will not be authorized.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        In { facts: self.facts, state: Invalid { failure } }
    }
}

impl In<Ready> {
    /// Why the CSR that came last was not certified; none if there was none yet.
    pub fn rejected(&self) -> Option<&Failure> {
        self.state.rejected.as_ref()
    }

    /// Begins to make the certificate for this CSR (base64url).
    #[must_use]
    pub fn finalize(self, csr: String) -> In<Processing> {
        let Self { facts, state: Ready { validated, .. } } = self;
        In { facts, state: Processing { validated, csr } }
    }

    /// The order was given up.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        In { facts: self.facts, state: Invalid { failure } }
    }
}

impl In<Processing> {
    /// The CSR, base64url.
    pub fn csr(&self) -> &str {
        &self.state.csr
    }

    /// The names that may be certified.
    pub fn validated(&self) -> &[Validated] {
        &self.state.validated
    }

    /// The certificate was made.
    #[must_use]
    pub fn issued(self, serial: String) -> In<Valid> {
        In { facts: self.facts, state: Valid { certificate: serial } }
    }

    /// It will not be made for this CSR; for another one it may be.
    #[must_use]
    pub fn reject(self, failure: Failure) -> In<Ready> {
        let Self { facts, state: Processing { validated, .. } } = self;
        In { facts, state: Ready { validated, rejected: Some(failure) } }
    }

    /// It will not be made.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        In { facts: self.facts, state: Invalid { failure } }
    }
}

impl In<Valid> {
    /// The serial of the certificate, which is also the id of its URL.
    pub fn certificate(&self) -> &str {
        &self.state.certificate
    }
}

impl In<Invalid> {
    /// Why.
    pub fn failure(&self) -> &Failure {
        &self.state.failure
    }
}

impl Order {
    /// What does not change.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Pending(order) => order.facts(),
            Self::Ready(order) => order.facts(),
            Self::Processing(order) => order.facts(),
            Self::Valid(order) => order.facts(),
            Self::Invalid(order) => order.facts(),
        }
    }

    /// The state's name on the wire.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Ready(_) => "ready",
            Self::Processing(_) => "processing",
            Self::Valid(_) => "valid",
            Self::Invalid(_) => "invalid",
        }
    }

    /// The order as it is at `now`: one that was not finished in time is invalid, whether or not
    /// that was written down.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let failure = || Failure::new(FailureKind::Abandoned, "the order expired unfinished");
        match self {
            Self::Pending(order) if now > order.facts.expires => {
                Self::Invalid(order.fail(failure()))
            }
            Self::Ready(order) if now > order.facts.expires => Self::Invalid(order.fail(failure())),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{AccountId, OrderId};

    fn facts(names: &[&str]) -> Facts {
        let now = Timestamp::UNIX_EPOCH;
        Facts {
            id: OrderId::new(now),
            account: AccountId::new(now),
            identifiers: names.iter().map(|name| Identifier::parse("dns", name).unwrap()).collect(),
            authorizations: names.iter().map(|_| AuthorizationId::new(now)).collect(),
            profile: None,
            not_before: None,
            not_after: None,
            created: now,
            expires: now + Duration::from_mins(1),
        }
    }

    fn proved(name: &str) -> Validated {
        Validated {
            identifier: Identifier::parse("dns", name).unwrap(),
            method: ChallengeType::Http01,
        }
    }

    fn ready() -> In<Ready> {
        let facts = facts(&["a.example"]);
        let id = facts.authorizations[0];
        match In::new(facts).authorized(id, proved("a.example")) {
            Order::Ready(order) => order,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_authorization_makes_it_ready() {
        let facts = facts(&["a.example", "b.example"]);
        let [first, second] = facts.authorizations[..] else { panic!() };
        let Order::Pending(order) = In::new(facts).authorized(second, proved("b.example")) else {
            panic!("one is missing");
        };
        let Order::Pending(order) = order.authorized(second, proved("b.example")) else {
            panic!("the same one twice is still one");
        };
        let order = order.authorized(first, proved("a.example"));
        assert_eq!(order.status(), "ready");
    }

    #[test]
    fn an_unfinished_order_dies_at_its_expiry_and_one_in_processing_does_not() {
        let (order, later) = (ready(), Timestamp::UNIX_EPOCH + Duration::from_secs(61));
        let at_expiry = order.facts().expires;
        assert_eq!(Order::Ready(order.clone()).at(at_expiry).status(), "ready");
        assert_eq!(Order::Ready(order.clone()).at(later).status(), "invalid");
        assert_eq!(Order::Pending(In::new(facts(&["a.b"]))).at(later).status(), "invalid");
        assert_eq!(Order::Processing(order.finalize("AA".into())).at(later).status(), "processing");
    }

    #[test]
    fn an_order_whose_csr_was_rejected_takes_another_one() {
        let failure = Failure::new(FailureKind::BadCsr, "no");
        let back = ready().finalize("AA".into()).reject(failure.clone());
        assert_eq!(back.rejected(), Some(&failure));
        let again = back.finalize("BB".into());
        assert_eq!(again.csr(), "BB");
        assert_eq!(again.validated(), [proved("a.example")]);
        // As an earlier version wrote it.
        let mut stored = serde_json::to_value(Order::Ready(ready())).unwrap();
        assert_eq!(stored.as_object_mut().unwrap().remove("rejected"), None);
    }

    #[test]
    fn every_state_survives_storage() {
        let failure = Failure::new(FailureKind::Dns, "no");
        let two = facts(&["a.example", "*.b.example"]);
        let first = two.authorizations[0];
        for order in [
            In::new(two).authorized(first, proved("a.example")),
            Order::Ready(ready()),
            Order::Ready(ready().finalize("AA".into()).reject(failure.clone())),
            Order::Processing(ready().finalize("AA".into())),
            Order::Valid(ready().finalize("AA".into()).issued("01".into())),
            Order::Invalid(ready().finalize("AA".into()).fail(failure)),
        ] {
            let stored = serde_json::to_vec(&order).unwrap();
            assert_eq!(serde_json::from_slice::<Order>(&stored).unwrap(), order);
        }
    }
}
