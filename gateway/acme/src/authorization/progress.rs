//! How authorizations are stored: as a part of their order. Earlier versions of the gateway had records of their
//! own for them: the first for all of them, later ones for those that were valid.

use chancery_records::{Recorded, decode};
use chancery_store::{ReadError, Record};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{In, Valid};
use super::{Authorization, Facts};
use crate::challenge::{self, ChallengeType, Offer};
use crate::error::{Error, InternalError};
use crate::failure::Failure;
use crate::id::AuthorizationId;
use crate::order::{self, Authorizations};
use crate::records;

/// How far a name of an order has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Progress {
    /// The client has not chosen a challenge yet.
    #[default]
    Open,
    /// A challenge is being tried.
    Validating(ChallengeType),
    /// It was proved. The record of an order has these in a list of their own, which is shorter.
    #[serde(skip)]
    Proved(Valid),
    /// It was proved by this challenge; the rest is in a record of its own, where an earlier version put it.
    #[serde(rename = "proved")]
    Apart(ChallengeType),
    /// It was not proved.
    Failed {
        /// The challenge that was tried.
        chosen: Option<ChallengeType>,
        /// Why.
        failure: Failure,
    },
    /// The client gave it up before it was proved.
    GivenUp,
    /// The client gave it up after it was proved.
    Deactivated(Valid),
}

/// The record that earlier versions made of an authorization that is valid or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proved {
    chosen: ChallengeType,
    validated: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deactivated: bool,
}

impl Recorded for Proved {}

impl Recorded for Authorization {}

/// A record of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Own {
    /// What its order does not have.
    Proved(Proved),
    /// All of it, in whichever state: earlier versions of the gateway stored it so.
    Whole(Authorization),
}

impl Own {
    /// Reads the record of the authorization with this id.
    pub(crate) fn decode(id: AuthorizationId, record: &Record) -> Result<Self, ReadError> {
        Ok(match id {
            AuthorizationId::Of { .. } => Self::Proved(decode(record)?.value),
            AuthorizationId::Own(_) => Self::Whole(decode(record)?.value),
        })
    }
}

impl Progress {
    /// The challenge by which it was proved, if it was.
    pub(crate) fn proved_by(&self) -> Option<ChallengeType> {
        match self {
            Self::Proved(proof) | Self::Deactivated(proof) => Some(proof.chosen),
            Self::Apart(chosen) => Some(*chosen),
            Self::Open | Self::Validating(_) | Self::Failed { .. } | Self::GivenUp => None,
        }
    }
}

impl Authorization {
    /// The authorization of the name at this place of an order, which has come so far.
    ///
    /// # Errors
    /// [`Error::Internal`] if the records contradict each other.
    pub(crate) fn of(
        order: &order::Facts,
        place: u16,
        progress: &Progress,
        own: Option<Own>,
    ) -> Result<Self, Error> {
        let contradiction = || InternalError::Inconsistent(format!("order {}", order.id));
        // What is apart and is over says all. Until then its progress is in the order.
        if let Some(Own::Whole(whole)) = &own
            && !matches!(whole, Self::Pending(_))
        {
            return Ok(whole.clone());
        }
        let at = usize::from(place);
        let identifier = order.identifiers.get(at).ok_or_else(contradiction)?.clone();
        let (id, offers) = match (&order.authorizations, &own) {
            (Authorizations::Within(key), _) => {
                let kinds = challenge::kinds(&identifier).iter();
                let offer =
                    |kind: &ChallengeType| Offer { kind: *kind, token: key.token(place, *kind) };
                let id = AuthorizationId::Of { order: order.id, place };
                (id, kinds.map(offer).collect())
            }
            (Authorizations::Apart(_), Some(Own::Whole(whole))) => {
                (whole.facts().id, whole.offers().to_vec())
            }
            (Authorizations::Apart(_), _) => return Err(contradiction().into()),
        };
        let facts = Facts {
            id,
            account: order.account,
            order: order.id,
            identifier,
            created: order.created,
            expires: order.expires,
        };
        let pending = In::new(facts, offers);
        let valid = |pending: In<_>, proof: &Valid| {
            pending.respond(proof.chosen).proved(proof.validated, proof.until)
        };
        Ok(match (progress, own) {
            (Progress::Open, _) => Self::Pending(pending),
            (Progress::Validating(kind), _) => Self::Validating(pending.respond(*kind)),
            (Progress::GivenUp, _) => Self::Deactivated(pending.deactivate()),
            (Progress::Failed { chosen, failure }, _) => {
                Self::Invalid(pending.fail(*chosen, failure.clone()))
            }
            (Progress::Proved(proof), _) => Self::Valid(valid(pending, proof)),
            (Progress::Deactivated(proof), _) => {
                Self::Deactivated(valid(pending, proof).deactivate())
            }
            (Progress::Apart(_), Some(Own::Proved(proved))) => {
                let Proved { chosen, validated, until, deactivated } = proved;
                let valid = valid(pending, &Valid { chosen, validated, until });
                if deactivated { Self::Deactivated(valid.deactivate()) } else { Self::Valid(valid) }
            }
            (Progress::Apart(_), _) => return Err(contradiction().into()),
        })
    }

    /// How far it has come, for its order.
    pub(crate) fn progress(&self) -> Progress {
        match self {
            Self::Pending(_) => Progress::Open,
            Self::Validating(one) => Progress::Validating(one.chosen()),
            Self::Valid(one) if self.is_apart() => Progress::Apart(one.chosen()),
            Self::Valid(one) => Progress::Proved(one.proof().clone()),
            Self::Invalid(one) => {
                Progress::Failed { chosen: one.chosen(), failure: one.failure().clone() }
            }
            Self::Deactivated(one) => match one.proof() {
                Some(proof) if self.is_apart() => Progress::Apart(proof.chosen),
                Some(proof) => Progress::Deactivated(proof.clone()),
                None => Progress::GivenUp,
            },
        }
    }

    /// Whether it has a record of its own in each state, as the first versions of the gateway had them.
    fn is_apart(&self) -> bool {
        matches!(self.facts().id, AuthorizationId::Own(_))
    }

    /// What to write into a record of its own, if it has one in this state.
    pub(crate) fn own_record(&self) -> Result<Option<Vec<u8>>, Error> {
        match self {
            // One that is apart stays so. While it is tried, its order says it.
            Self::Pending(_) | Self::Validating(_) => Ok(None),
            over if over.is_apart() => records::encode(over).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;
    use crate::identifier::Identifier;
    use crate::order::state::tests::facts;
    use ChallengeType::{Dns01, Http01, TlsAlpn01};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_stored_makes_the_same_authorization_again() {
        let order = facts(&["a.example", "*.b.example"]);
        let pending = || match Authorization::of(&order, 0, &Progress::Open, None).unwrap() {
            Authorization::Pending(one) => one,
            other => panic!("{other:?}"),
        };
        let trying = || pending().respond(Http01);
        let failure = Failure::new(FailureKind::Tls, "x");
        for one in [
            Authorization::Pending(pending()),
            Authorization::Validating(trying()),
            Authorization::Valid(trying().proved(at(1), at(2))),
            Authorization::Invalid(trying().refuted(failure)),
            Authorization::Deactivated(pending().deactivate()),
            Authorization::Deactivated(trying().proved(at(1), at(2)).deactivate()),
        ] {
            assert_eq!(one.own_record().unwrap(), None);
            let again = Authorization::of(&order, 0, &one.progress(), None).unwrap();
            assert_eq!(again, one);
        }
    }

    #[test]
    fn offers_suit_the_name_and_have_tokens_of_their_own() {
        let mut order = facts(&["a.example", "*.b.example"]);
        order.identifiers.push(Identifier::parse("ip", "192.0.2.1").unwrap());
        let offers = |place| {
            let one = Authorization::of(&order, place, &Progress::Open, None).unwrap();
            one.offers().to_vec()
        };
        let kinds = |place| offers(place).iter().map(|offer| offer.kind).collect::<Vec<_>>();
        assert_eq!(kinds(0), [Http01, Dns01, TlsAlpn01]);
        assert_eq!(kinds(1), [Dns01]);
        assert_eq!(kinds(2), [Http01, TlsAlpn01]);
        let mut tokens: Vec<_> = (0..3).flat_map(offers).map(|offer| offer.token).collect();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 6);
        assert!(Authorization::of(&order, 3, &Progress::Open, None).is_err());
    }

    #[test]
    fn what_an_earlier_version_put_into_a_record_is_read_from_there() {
        let order = facts(&["a.example"]);
        let apart: Progress = serde_json::from_str(r#"{"proved":"http-01"}"#).unwrap();
        assert_eq!(apart, Progress::Apart(Http01));
        assert!(Authorization::of(&order, 0, &apart, None).is_err(), "it has to be there");
        let status = |more: &str| {
            let text = format!(
                r#"{{"chosen":"http-01","validated":"1970-01-01T00:00:01.5Z","until":"1970-01-01T00:00:02Z"{more}}}"#
            );
            let key = chancery_store::Key::new("default/acme/authorization/z").unwrap();
            let record =
                Record { key, value: text.into(), version: chancery_store::Version::new(1) };
            let id = AuthorizationId::Of { order: order.id, place: 0 };
            let own = Own::decode(id, &record).unwrap();
            let one = Authorization::of(&order, 0, &apart, Some(own)).unwrap();
            // When it changes, all of it is in the order.
            let again = Authorization::of(&order, 0, &one.progress(), None).unwrap();
            assert_eq!(again, one);
            one.status(at(1))
        };
        assert_eq!(status(""), "valid");
        assert_eq!(status(r#","deactivated":true"#), "deactivated");
    }
}
