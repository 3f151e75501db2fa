//! Challenges (RFC 8555 §8): how an account proves that it controls a name.

mod dial;
mod dns01;
mod early;
mod http01;
mod lookup;
mod networks;
mod respond;
mod shortage;
mod slots;
mod tls;
mod tls_alpn01;
mod validator;

pub use networks::Networks;
pub use slots::{NoTurn, Slot, Whose};
pub use validator::{Task, Validator, ValidatorError};

use serde::{Deserialize, Serialize};

use crate::identifier::Identifier;

/// The kinds of challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeType {
    /// A file on the name's web server (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A TXT record below the name (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
    /// A certificate in a TLS handshake with the name's server (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// A challenge that a client may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its kind.
    pub kind: ChallengeType,
    /// Random: 256 bits in base64url (RFC 8555 §8.1 wants at least 128).
    pub token: String,
}

impl ChallengeType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Http01, Self::Dns01, Self::TlsAlpn01].into_iter().find(|one| one.as_str() == name)
    }
}

/// The kinds of challenge that can prove `identifier`: a wildcard only by DNS, an address only by
/// connecting to it (RFC 8738 §7).
pub(crate) fn kinds(identifier: &Identifier) -> &'static [ChallengeType] {
    match identifier {
        Identifier::Dns(_) if identifier.is_wildcard() => &[ChallengeType::Dns01],
        Identifier::Dns(_) => {
            &[ChallengeType::Http01, ChallengeType::Dns01, ChallengeType::TlsAlpn01]
        }
        Identifier::Ip(_) => &[ChallengeType::Http01, ChallengeType::TlsAlpn01],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for kind in [ChallengeType::Http01, ChallengeType::Dns01, ChallengeType::TlsAlpn01] {
            assert_eq!(ChallengeType::from_name(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(ChallengeType::from_name("dns-02"), None);
    }
}
