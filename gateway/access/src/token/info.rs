//! The stored record of a token: its identity, certificate, role and lifetime, and what a bearer token is bound to.

use std::time::Duration;

use chancery_identity::{Fingerprint, Identity};
use chancery_store::{Key, Version};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of a token; not the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Names the token in logs and to administrators. Gives no access.
    pub accessor: String,
    /// Who obtained it.
    pub identity: Identity,
    /// The certificate with which it was obtained, and without which it is worth nothing unless it is a
    /// bearer token.
    pub fingerprint: Fingerprint,
    /// The role of the login.
    pub role: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// How long it was to live when it was issued.
    pub creation_ttl: Duration,
    /// First moment at which it is no longer good.
    pub expires: Timestamp,
    /// Beyond which no renewal moves `expires`.
    pub ceiling: Timestamp,
    /// What a bearer token is bound to in place of the certificate; none of a token that is bound to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,
}

/// What a bearer token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearer {
    /// From where it is good.
    pub networks: Vec<IpNet>,
    /// The certificate that obtained it and those of the CAs above it, in DER: the token is good as long as a
    /// handshake with them would be. Empty in tokens of builds that did not keep it, which are good no more.
    #[serde(default, with = "der")]
    pub chain: Vec<Vec<u8>>,
}

impl TokenInfo {
    /// How long it is still good; zero if it is not.
    pub fn ttl(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.expires.duration_since(now)).unwrap_or_default()
    }

    /// Whether a renewal could move its expiry.
    pub fn renewable(&self) -> bool {
        self.expires < self.ceiling
    }

    /// Whether it is worth nothing without the certificate that obtained it.
    pub fn is_bound(&self) -> bool {
        self.bearer.is_none()
    }
}

/// A token that was shown, with what is needed to change its record.
#[derive(Debug)]
pub(crate) struct HeldToken {
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) info: TokenInfo,
}

/// Certificates as text.
mod der {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(chain: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| STANDARD.decode(text).map_err(D::Error::custom)).collect()
    }
}
