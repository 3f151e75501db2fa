//! Challenges (RFC 8555 §8): how an account proves that it controls a name.

mod dial;
mod dns01;
mod early;
mod http01;
mod lookup;
mod networks;
mod respond;
mod slots;
mod tls;
mod tls_alpn01;
mod validator;

pub use networks::Networks;
pub use slots::{NoTurn, Slot, Whose};
pub use validator::{Task, Validator, ValidatorError};

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use crate::error::{Error, InternalError};
use crate::identifier::Identifier;
use crate::jws::base64url;

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

/// The challenges that can prove `identifier`: a wildcard only by DNS, an address only by connecting
/// to it (RFC 8738 §7).
pub(crate) fn offers(identifier: &Identifier) -> Result<Vec<Offer>, Error> {
    let kinds: &[ChallengeType] = match identifier {
        Identifier::Dns(_) if identifier.is_wildcard() => &[ChallengeType::Dns01],
        Identifier::Dns(_) => {
            &[ChallengeType::Http01, ChallengeType::Dns01, ChallengeType::TlsAlpn01]
        }
        Identifier::Ip(_) => &[ChallengeType::Http01, ChallengeType::TlsAlpn01],
    };
    kinds.iter().map(|kind| Ok(Offer { kind: *kind, token: token()? })).collect()
}

fn token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| InternalError::NoRandomness)?;
    Ok(base64url::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kind: &str, value: &str) -> Vec<&'static str> {
        let identifier = Identifier::parse(kind, value).unwrap();
        offers(&identifier).unwrap().iter().map(|offer| offer.kind.as_str()).collect()
    }

    #[test]
    fn each_kind_of_name_gets_the_challenges_that_can_prove_it() {
        assert_eq!(kinds("dns", "a.example"), ["http-01", "dns-01", "tls-alpn-01"]);
        assert_eq!(kinds("dns", "*.a.example"), ["dns-01"]);
        assert_eq!(kinds("ip", "192.0.2.1"), ["http-01", "tls-alpn-01"]);
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
    }

    #[test]
    fn names_are_those_of_the_wire() {
        for kind in [ChallengeType::Http01, ChallengeType::Dns01, ChallengeType::TlsAlpn01] {
            assert_eq!(ChallengeType::from_name(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!(ChallengeType::from_name("dns-02"), None);
    }
}
