//! The states of an order (RFC 8555 §7.1.6) as types: what an order can do depends on what it is, and
//! each step consumes the state before it.
//!
//! ```text
//! Pending ──every name authorized──▶ Ready ──finalize──▶ Processing ──issued──▶ Valid
//!    │                                │◀─────reject─────────│
//!    └────────────fail────────────────┴──────fail───────────┴──────▶ Invalid
//! ```
//!
//! How far each of its names has come is part of the order in every state: the authorizations of an
//! order that failed can still be answered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Authorizations, Facts, PutOff};
use crate::AcmeConfig;
use crate::authorization::{Authorization, Progress};
use crate::challenge::ChallengeType;
use crate::failure::{Failure, FailureKind};
use crate::id::AuthorizationId;
use crate::identifier::Identifier;

/// An order in the state `S`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct In<S> {
    pub(super) facts: Facts,
    /// Of each name.
    pub(super) progress: Vec<Progress>,
    pub(super) state: S,
}

/// Some names wait for their authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending;

/// Every name is authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What was wrong with the CSR that came last.
    pub(super) rejected: Option<Failure>,
}

/// The certificate is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processing {
    /// The CSR in DER, base64url.
    pub(super) csr: String,
    /// If it could not be made yet.
    pub(super) put_off: Option<PutOff>,
    /// From when on any gateway may take it up: where it is in the queue.
    pub(super) due: Timestamp,
}

/// The certificate is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Valid {
    pub(super) certificate: String,
}

/// There will be no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    pub(super) failure: Failure,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

    fn into<T>(self, state: T) -> In<T> {
        In { facts: self.facts, progress: self.progress, state }
    }

    /// The name at this place has come so far.
    fn come(mut self, place: u16, progress: Progress) -> Self {
        if let Some(one) = self.progress.get_mut(usize::from(place)) {
            *one = progress;
        }
        self
    }
}

impl In<Pending> {
    /// A new order.
    pub fn new(facts: Facts) -> Self {
        let progress = facts.identifiers.iter().map(|_| Progress::Open).collect();
        Self { facts, progress, state: Pending }
    }

    /// Ready if all names are authorized.
    fn settled(self) -> Order {
        if self.progress.iter().all(|one| one.proved_by().is_some()) {
            Order::Ready(self.into(Ready { rejected: None }))
        } else {
            Order::Pending(self)
        }
    }

    /// One of the names will not be authorized.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        self.into(Invalid { failure })
    }
}

impl In<Ready> {
    /// Why the CSR that came last was not certified; none if there was none yet.
    pub fn rejected(&self) -> Option<&Failure> {
        self.state.rejected.as_ref()
    }

    /// Begins to make the certificate for this CSR (base64url), which is left to this gateway until `due`.
    #[must_use]
    pub fn finalize(self, csr: String, due: Timestamp) -> In<Processing> {
        self.into(Processing { csr, put_off: None, due })
    }

    /// The order was given up.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        self.into(Invalid { failure })
    }
}

impl In<Processing> {
    /// The CSR, base64url.
    pub fn csr(&self) -> &str {
        &self.state.csr
    }

    /// When it is tried again, if it could not be made yet.
    pub fn put_off(&self) -> Option<PutOff> {
        self.state.put_off
    }

    /// It cannot be made before.
    #[must_use]
    pub fn later(mut self, put_off: PutOff) -> Self {
        self.state.put_off = Some(put_off);
        self.due_at(put_off.until)
    }

    /// From when on any gateway may take it up.
    pub(crate) fn due(&self) -> Timestamp {
        self.state.due
    }

    /// It may be taken up from then on.
    pub(crate) fn due_at(mut self, due: Timestamp) -> Self {
        self.state.due = due;
        self
    }

    /// The names that may be certified.
    pub fn validated(&self) -> impl Iterator<Item = Validated> {
        let names = self.facts.identifiers.iter().zip(&self.progress);
        names.filter_map(|(identifier, progress)| {
            let method = progress.proved_by()?;
            Some(Validated { identifier: identifier.clone(), method })
        })
    }

    /// The certificate was made.
    #[must_use]
    pub fn issued(self, serial: String) -> In<Valid> {
        self.into(Valid { certificate: serial })
    }

    /// It will not be made for this CSR; for another one it may be.
    #[must_use]
    pub fn reject(self, failure: Failure) -> In<Ready> {
        self.into(Ready { rejected: Some(failure) })
    }

    /// It will not be made.
    #[must_use]
    pub fn fail(self, failure: Failure) -> In<Invalid> {
        self.into(Invalid { failure })
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

    /// How far each of the names has come, in their order.
    pub(crate) fn progress(&self) -> &[Progress] {
        match self {
            Self::Pending(order) => &order.progress,
            Self::Ready(order) => &order.progress,
            Self::Processing(order) => &order.progress,
            Self::Valid(order) => &order.progress,
            Self::Invalid(order) => &order.progress,
        }
    }

    /// Whether a challenge of it is being validated.
    pub(crate) fn is_validating(&self) -> bool {
        self.progress().iter().any(|one| matches!(one, Progress::Validating(_)))
    }

    /// The authorizations of which a challenge is being validated.
    pub(crate) fn validating(&self) -> Vec<AuthorizationId> {
        let ids = self.facts().authorizations();
        ids.into_iter()
            .zip(self.progress())
            .filter(|(_, progress)| matches!(progress, Progress::Validating(_)))
            .map(|(id, _)| id)
            .collect()
    }

    /// When it is over and may be deleted: when neither it nor an authorization of it can count any more,
    /// and it was kept for a while. How those that are kept apart stand is not known from here.
    pub(crate) fn end(&self, config: &AcmeConfig) -> Timestamp {
        let facts = self.facts();
        let counts_until = |one: &Progress| match one {
            Progress::Proved(proof) => proof.until,
            Progress::Apart(_) => facts.expires + config.authorization_lifetime,
            _ => facts.expires,
        };
        let last = match facts.authorizations {
            Authorizations::Within(_) => self.progress().iter().map(counts_until).max(),
            Authorizations::Apart(_) => Some(facts.expires + config.authorization_lifetime),
        };
        last.unwrap_or(facts.expires).max(facts.expires) + config.retention
    }

    /// Whether it still waits for the client.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Pending(_) | Self::Ready(_))
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

    /// The order after the authorization of the name at this place has become what it is. The last one
    /// that becomes valid makes the order ready; one that it still needs and does not get ends it.
    #[must_use]
    pub fn authorized(self, place: u16, authorization: &Authorization) -> Self {
        let progress = authorization.progress();
        let identifier = &authorization.facts().identifier;
        let failure = match authorization {
            Authorization::Invalid(one) => {
                Some(Failure::new(one.failure().kind, format!("{identifier}: {}", one.failure())))
            }
            Authorization::Deactivated(_) => Some(Failure::new(
                FailureKind::Abandoned,
                format!("the authorization for {identifier} was deactivated"),
            )),
            Authorization::Pending(_) | Authorization::Validating(_) | Authorization::Valid(_) => {
                None
            }
        };
        match (self, failure) {
            (Self::Pending(order), None) => order.come(place, progress).settled(),
            (Self::Pending(order), Some(failure)) => {
                Self::Invalid(order.come(place, progress).fail(failure))
            }
            (Self::Ready(order), None) => Self::Ready(order.come(place, progress)),
            (Self::Ready(order), Some(failure)) => {
                Self::Invalid(order.come(place, progress).fail(failure))
            }
            (Self::Processing(order), _) => Self::Processing(order.come(place, progress)),
            (Self::Valid(order), _) => Self::Valid(order.come(place, progress)),
            (Self::Invalid(order), _) => Self::Invalid(order.come(place, progress)),
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
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{AccountId, OrderId};
    use crate::order::TokenKey;

    pub(crate) fn facts(names: &[&str]) -> Facts {
        let now = Timestamp::UNIX_EPOCH;
        Facts {
            id: OrderId::new(now),
            account: AccountId::new(now),
            identifiers: names.iter().map(|name| Identifier::parse("dns", name).unwrap()).collect(),
            authorizations: Authorizations::Within(TokenKey::random().unwrap()),
            profile: None,
            not_before: None,
            not_after: None,
            created: now,
            expires: now + Duration::from_mins(1),
            seats: vec![],
        }
    }

    fn validating(facts: &Facts, place: u16) -> Authorization {
        let progress = Progress::Validating(ChallengeType::Http01);
        Authorization::of(facts, place, &progress, None).unwrap()
    }

    fn valid(facts: &Facts, place: u16) -> Authorization {
        match validating(facts, place) {
            Authorization::Validating(one) => {
                Authorization::Valid(one.proved(facts.created, facts.expires))
            }
            other => panic!("{other:?}"),
        }
    }

    fn invalid(facts: &Facts, place: u16) -> Authorization {
        match validating(facts, place) {
            Authorization::Validating(one) => {
                Authorization::Invalid(one.refuted(Failure::new(FailureKind::Dns, "no")))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ready(names: &[&str]) -> In<Ready> {
        let facts = facts(names);
        let mut order = Order::Pending(In::new(facts.clone()));
        for place in 0..u16::try_from(names.len()).unwrap() {
            order = order.authorized(place, &valid(&facts, place));
        }
        match order {
            Order::Ready(order) => order,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_authorization_makes_it_ready() {
        let facts = facts(&["a.example", "b.example"]);
        let order = Order::Pending(In::new(facts.clone()));
        let order = order.authorized(1, &valid(&facts, 1));
        assert_eq!(order.status(), "pending");
        let order = order.authorized(1, &valid(&facts, 1));
        assert_eq!(order.status(), "pending", "the same one twice is still one");
        let order = order.authorized(0, &validating(&facts, 0));
        assert_eq!(order.status(), "pending");
        assert!(order.is_validating());
        let order = order.authorized(0, &valid(&facts, 0));
        assert_eq!(order.status(), "ready");
        assert!(!order.is_validating());
    }

    #[test]
    fn one_that_fails_ends_the_order_and_the_others_go_on() {
        let facts = facts(&["a.example", "b.example"]);
        let order = Order::Pending(In::new(facts.clone()));
        let order = order.authorized(1, &invalid(&facts, 1));
        let Order::Invalid(dead) = &order else { panic!("{order:?}") };
        assert_eq!(dead.failure().detail, "b.example: no");
        let order = order.authorized(0, &valid(&facts, 0));
        assert_eq!(order.status(), "invalid");
        assert_eq!(order.progress()[0].proved_by(), Some(ChallengeType::Http01));
    }

    #[test]
    fn an_unfinished_order_dies_at_its_expiry_and_one_in_processing_does_not() {
        let order = ready(&["a.example"]);
        let later = Timestamp::UNIX_EPOCH + Duration::from_secs(61);
        let at_expiry = order.facts().expires;
        assert_eq!(Order::Ready(order.clone()).at(at_expiry).status(), "ready");
        assert_eq!(Order::Ready(order.clone()).at(later).status(), "invalid");
        assert_eq!(Order::Pending(In::new(facts(&["a.b"]))).at(later).status(), "invalid");
        assert_eq!(
            Order::Processing(order.finalize("AA".into(), Timestamp::UNIX_EPOCH))
                .at(later)
                .status(),
            "processing"
        );
    }

    #[test]
    fn an_order_whose_csr_was_rejected_takes_another_one() {
        let failure = Failure::new(FailureKind::BadCsr, "no");
        let back = ready(&["a.example"])
            .finalize("AA".into(), Timestamp::UNIX_EPOCH)
            .reject(failure.clone());
        assert_eq!(back.rejected(), Some(&failure));
        let again = back.finalize("BB".into(), Timestamp::UNIX_EPOCH);
        assert_eq!(again.csr(), "BB");
        assert_eq!(again.validated().count(), 1);
    }
}
