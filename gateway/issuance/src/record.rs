//! What the inventory keeps, as it stands in the store.

use chancery_identity::{Fingerprint, TenantId};
use chancery_x509::{GeneralName, RevocationReason, Serial};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Its serial number.
    pub serial: Serial,
    /// The tenant that it was issued for.
    pub tenant: TenantId,
    /// The name of the issuer.
    pub issuer: String,
    /// Who got it, in the text form of [`Requester`](crate::Requester).
    pub requester: String,
    /// The profile that policy applied.
    pub profile: String,
    /// Its subject alternative names.
    pub names: Vec<GeneralName>,
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// SHA-256 of its `SubjectPublicKeyInfo`, lower-case hex.
    pub spki_sha256: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity, inclusive.
    pub not_after: Timestamp,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The certificate.
    #[serde(with = "base64_text")]
    pub der: Vec<u8>,
    /// Under which name the certificates above it are stored, which many entries share.
    pub(crate) chain: String,
    /// When, why and by whom it was revoked.
    pub revoked: Option<Revocation>,
}

impl InventoryEntry {
    /// About how many bytes it takes to hold and show it: itself, its view and its JSON.
    pub(crate) fn size(&self) -> usize {
        let names = self.names.len().saturating_mul(256);
        self.der.len().saturating_mul(3).saturating_add(names).saturating_add(1536)
    }
}

/// The revocation of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// By whom: the requester, `acme:ID` of an account that controls its names, `key:SHA-256` of a
    /// proof with its key, or an operator's identity.
    pub by: String,
}

/// A certificate between being recorded and being stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) tenant: TenantId,
    pub(crate) issuer: String,
    pub(crate) requester: String,
    pub(crate) profile: String,
    pub(crate) names: Vec<GeneralName>,
    pub(crate) spki_sha256: String,
    /// What it will be, if this gateway decides that: another CA chooses its own.
    pub(crate) serial: Option<Serial>,
    /// SHA-256 of the bytes to be signed, if they are this gateway's.
    pub(crate) content_sha256: Option<String>,
    pub(crate) began: Timestamp,
    /// Why nothing came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) abandoned: Option<String>,
}

/// The certificates above a leaf, which all certificates of one issuer share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain(pub(crate) Vec<Der>);

/// One certificate in a [`Chain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Der(#[serde(with = "base64_text")] pub(crate) Vec<u8>);

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(de::Error::custom)
    }
}
