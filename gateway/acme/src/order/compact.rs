//! Names and proofs as the record of an order has them. There may be a hundred of each, so they are short.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::authorization::Progress;
use crate::authorization::state::Valid;
use crate::challenge::ChallengeType;
use crate::identifier::Identifier;

/// A name. What was ordered is not checked again when it is read: the record has to stay readable.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    /// A text is always a DNS name, even if it looks like an address.
    Dns(String),
    Ip {
        ip: IpAddr,
    },
}

/// That the name at a place was proved: the place, the challenge, when, and until when the proof counts. The
/// times are in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Proved(u16, ChallengeType, i64, i64);

impl From<Identifier> for Name {
    fn from(identifier: Identifier) -> Self {
        match identifier {
            Identifier::Dns(name) => Self::Dns(name),
            Identifier::Ip(ip) => Self::Ip { ip },
        }
    }
}

impl From<Name> for Identifier {
    fn from(name: Name) -> Self {
        match name {
            Name::Dns(name) => Self::Dns(name),
            Name::Ip { ip } => Self::ip(ip),
        }
    }
}

impl Proved {
    pub(super) fn new(place: u16, proof: &Valid) -> Self {
        let Valid { chosen, validated, until } = proof;
        Self(place, *chosen, validated.as_millisecond(), until.as_millisecond())
    }

    /// The place, and what is known of the name there.
    pub(super) fn progress(&self) -> Result<(u16, Progress), &'static str> {
        let Self(place, chosen, validated, until) = *self;
        let time = |millis| {
            Timestamp::from_millisecond(millis)
                .map_err(|_| "a proof is of a time that there is not")
        };
        let proof = Valid { chosen, validated: time(validated)?, until: time(until)? };
        Ok((place, Progress::Proved(proof)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_no_address_is_taken_for_a_name() {
        for (name, short) in [
            (Identifier::Dns("*.a.example".to_owned()), r#""*.a.example""#),
            (Identifier::Dns("192.0.2.1".to_owned()), r#""192.0.2.1""#),
            (Identifier::ip("192.0.2.1".parse().unwrap()), r#"{"ip":"192.0.2.1"}"#),
            (Identifier::ip("2001:db8::1".parse().unwrap()), r#"{"ip":"2001:db8::1"}"#),
        ] {
            assert_eq!(serde_json::to_string(&Name::from(name.clone())).unwrap(), short);
            let read: Name = serde_json::from_str(short).unwrap();
            assert_eq!(Identifier::from(read), name);
        }
    }

    #[test]
    fn a_proof_is_kept_to_the_millisecond() {
        let text = r#"[99,"http-01",1772366400123,1774958400123]"#;
        let read: Proved = serde_json::from_str(text).unwrap();
        let (place, progress) = read.progress().unwrap();
        let Progress::Proved(proof) = progress else { panic!("{progress:?}") };
        assert_eq!((place, proof.validated.to_string().as_str()), (99, "2026-03-01T12:00:00.123Z"));
        assert_eq!(serde_json::to_string(&Proved::new(place, &proof)).unwrap(), text);
        assert!(Proved(0, ChallengeType::Dns01, i64::MAX, 0).progress().is_err());
    }
}
