use std::time::Duration;

use chancery_identity::{Fingerprint, Identity, Lineage};
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
    /// The serial number of the certificate that obtained it, as in
    /// [`PeerCertificate`](chancery_identity::PeerCertificate): if that is revoked, the token ends too.
    pub serial: String,
    /// The same certificate's authority key identifier.
    pub authority_key_id: String,
    /// Its way to the CA that vouched for it; none in tokens of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
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
