//! The states of an authorization and its challenges (RFC 8555 §7.1.6) as types. A challenge has no
//! life of its own: which of them is being tried, succeeded or failed is part of the
//! authorization's state, so "two validations at once" cannot be represented.
//!
//! ```text
//! Pending ──respond──▶ Validating ──proved──▶ Valid ──deactivate──▶ Deactivated
//!    │                     └──────refuted────▶ Invalid
//!    └──deactivate──▶ Deactivated
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Facts;
use crate::challenge::{ChallengeType, Offer};
use crate::failure::{Failure, FailureKind};

/// An authorization in the state `S`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct In<S> {
    #[serde(flatten)]
    facts: Facts,
    offers: Vec<Offer>,
    #[serde(flatten)]
    state: S,
}

/// The client has not chosen a challenge yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {}

/// A challenge is being tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validating {
    chosen: ChallengeType,
}

/// The account proved that it controls the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Valid {
    /// The challenge that was met.
    pub(crate) chosen: ChallengeType,
    /// When it was met.
    pub(crate) validated: Timestamp,
    /// Until when the proof counts.
    pub(crate) until: Timestamp,
}

/// The account did not prove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    chosen: Option<ChallengeType>,
    failure: Failure,
}

/// The client gave the authorization up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deactivated {
    /// What it was before, if it was valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved: Option<Valid>,
}

/// An authorization in whichever state it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Authorization {
    /// See [`Pending`].
    Pending(In<Pending>),
    /// See [`Validating`].
    Validating(In<Validating>),
    /// See [`Valid`].
    Valid(In<Valid>),
    /// See [`Invalid`].
    Invalid(In<Invalid>),
    /// See [`Deactivated`].
    Deactivated(In<Deactivated>),
}

impl<S> In<S> {
    /// What does not change.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The challenges that were offered.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    fn into<T>(self, state: T) -> In<T> {
        In { facts: self.facts, offers: self.offers, state }
    }
}

impl In<Pending> {
    /// An authorization with these challenges.
    pub fn new(facts: Facts, offers: Vec<Offer>) -> Self {
        Self { facts, offers, state: Pending {} }
    }

    /// The client says that it is ready for the challenge `chosen`.
    #[must_use]
    pub fn respond(self, chosen: ChallengeType) -> In<Validating> {
        self.into(Validating { chosen })
    }

    /// The client gives it up.
    #[must_use]
    pub fn deactivate(self) -> In<Deactivated> {
        self.into(Deactivated { proved: None })
    }

    pub(super) fn fail(self, chosen: Option<ChallengeType>, failure: Failure) -> In<Invalid> {
        self.into(Invalid { chosen, failure })
    }

    fn expire(self) -> In<Invalid> {
        let failure = Failure::new(FailureKind::Abandoned, "the authorization expired unproved");
        self.fail(None, failure)
    }
}

impl In<Validating> {
    /// The challenge that is being tried.
    pub fn chosen(&self) -> ChallengeType {
        self.state.chosen
    }

    /// The challenge was met; the proof counts until `until`.
    #[must_use]
    pub fn proved(self, validated: Timestamp, until: Timestamp) -> In<Valid> {
        let chosen = self.state.chosen;
        self.into(Valid { chosen, validated, until })
    }

    /// The challenge was not met.
    #[must_use]
    pub fn refuted(self, failure: Failure) -> In<Invalid> {
        let chosen = Some(self.state.chosen);
        self.into(Invalid { chosen, failure })
    }
}

impl In<Valid> {
    /// The challenge that was met.
    pub fn chosen(&self) -> ChallengeType {
        self.state.chosen
    }

    /// When it was met.
    pub fn validated(&self) -> Timestamp {
        self.state.validated
    }

    /// Until when the proof counts.
    pub fn until(&self) -> Timestamp {
        self.state.until
    }

    pub(super) fn proof(&self) -> &Valid {
        &self.state
    }

    /// The client gives it up.
    #[must_use]
    pub fn deactivate(self) -> In<Deactivated> {
        let proved = Some(self.state.clone());
        self.into(Deactivated { proved })
    }
}

impl In<Deactivated> {
    /// How it was proved, if it was.
    pub(super) fn proof(&self) -> Option<&Valid> {
        self.state.proved.as_ref()
    }
}

impl In<Invalid> {
    /// The challenge that was not met; none if none was tried.
    pub fn chosen(&self) -> Option<ChallengeType> {
        self.state.chosen
    }

    /// Why.
    pub fn failure(&self) -> &Failure {
        &self.state.failure
    }
}

impl Authorization {
    /// What does not change.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Pending(one) => one.facts(),
            Self::Validating(one) => one.facts(),
            Self::Valid(one) => one.facts(),
            Self::Invalid(one) => one.facts(),
            Self::Deactivated(one) => one.facts(),
        }
    }

    /// The challenges that were offered.
    pub fn offers(&self) -> &[Offer] {
        match self {
            Self::Pending(one) => one.offers(),
            Self::Validating(one) => one.offers(),
            Self::Valid(one) => one.offers(),
            Self::Invalid(one) => one.offers(),
            Self::Deactivated(one) => one.offers(),
        }
    }

    /// The authorization as it is at `now`: one that nobody answered in time is invalid, whether or
    /// not that was written down.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self {
            Self::Pending(one) if now > one.facts.expires => Self::Invalid(one.expire()),
            other => other,
        }
    }

    /// The state's name on the wire at `now`. A valid authorization can expire.
    pub fn status(&self, now: Timestamp) -> &'static str {
        match self {
            Self::Pending(_) | Self::Validating(_) => "pending",
            Self::Valid(one) if now > one.until() => "expired",
            Self::Valid(_) => "valid",
            Self::Invalid(_) => "invalid",
            Self::Deactivated(_) => "deactivated",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{AccountId, AuthorizationId, OrderId};
    use crate::identifier::Identifier;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pending() -> In<Pending> {
        let facts = Facts {
            id: AuthorizationId::Of { order: OrderId::new(at(0)), place: 0 },
            account: AccountId::new(at(0)),
            order: OrderId::new(at(0)),
            identifier: Identifier::parse("dns", "*.a.example").unwrap(),
            created: at(0),
            expires: at(0) + Duration::from_mins(1),
        };
        let offer = Offer { kind: ChallengeType::Dns01, token: "t".to_owned() };
        In::new(facts, vec![offer])
    }

    #[test]
    fn every_state_survives_storage() {
        let trying = || pending().respond(ChallengeType::Dns01);
        for one in [
            Authorization::Pending(pending()),
            Authorization::Validating(trying()),
            Authorization::Valid(trying().proved(at(1), at(2))),
            Authorization::Invalid(trying().refuted(Failure::new(FailureKind::Tls, "x"))),
            Authorization::Deactivated(pending().deactivate()),
            Authorization::Deactivated(trying().proved(at(1), at(2)).deactivate()),
        ] {
            let stored = serde_json::to_vec(&one).unwrap();
            assert_eq!(serde_json::from_slice::<Authorization>(&stored).unwrap(), one);
        }
    }

    #[test]
    fn time_ends_what_is_pending_and_what_is_valid() {
        assert_eq!(Authorization::Pending(pending()).at(at(60)).status(at(60)), "pending");
        assert_eq!(Authorization::Pending(pending()).at(at(61)).status(at(61)), "invalid");
        let valid = pending().respond(ChallengeType::Dns01).proved(at(1), at(2));
        let valid = Authorization::Valid(valid);
        assert_eq!(valid.status(at(2)), "valid");
        assert_eq!(valid.clone().at(at(3)).status(at(3)), "expired");
    }
}
