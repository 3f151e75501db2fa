//! Key usages and extended key usages (RFC 5280 §4.2.1.3, §4.2.1.12), and their names.

use std::str::FromStr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::flagset::FlagSet;
use serde::{Deserialize, Serialize};

/// What a certificate's key may be used for (RFC 5280 §4.2.1.3). In text the RFC's names with
/// hyphens: `digital-signature`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyUsage {
    /// Signatures other than on certificates and CRLs: TLS handshakes, for example.
    DigitalSignature,
    /// Signatures that commit to content; the RFC's `nonRepudiation`.
    ContentCommitment,
    /// Encrypting keys, as TLS with RSA key transport did.
    KeyEncipherment,
    /// Encrypting data directly.
    DataEncipherment,
    /// Diffie-Hellman.
    KeyAgreement,
    /// Signing certificates.
    KeyCertSign,
    /// Signing CRLs.
    CrlSign,
    /// With key agreement: only to encrypt.
    EncipherOnly,
    /// With key agreement: only to decrypt.
    DecipherOnly,
}

/// A set of [`KeyUsage`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyUsages(u16);

/// What a certificate is for (RFC 5280 §4.2.1.12). In text the RFC's names with hyphens:
/// `server-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtendedKeyUsage {
    /// TLS server.
    ServerAuth,
    /// TLS client.
    ClientAuth,
    /// Signing executable code.
    CodeSigning,
    /// S/MIME.
    EmailProtection,
    /// RFC 3161 time stamps.
    TimeStamping,
    /// Signing OCSP responses (RFC 6960 §4.2.2.2).
    OcspSigning,
}

/// The text does not name a key usage or an extended key usage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not {kind}: use one of {allowed}")]
pub struct UnknownUsage {
    name: String,
    kind: &'static str,
    allowed: String,
}

impl KeyUsage {
    /// Every usage, in the order of the RFC's bits.
    pub const ALL: [Self; 9] = [
        Self::DigitalSignature,
        Self::ContentCommitment,
        Self::KeyEncipherment,
        Self::DataEncipherment,
        Self::KeyAgreement,
        Self::KeyCertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
    ];

    /// The name in text.
    pub fn name(self) -> &'static str {
        match self {
            Self::DigitalSignature => "digital-signature",
            Self::ContentCommitment => "content-commitment",
            Self::KeyEncipherment => "key-encipherment",
            Self::DataEncipherment => "data-encipherment",
            Self::KeyAgreement => "key-agreement",
            Self::KeyCertSign => "key-cert-sign",
            Self::CrlSign => "crl-sign",
            Self::EncipherOnly => "encipher-only",
            Self::DecipherOnly => "decipher-only",
        }
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

impl KeyUsages {
    /// No usage.
    pub const NONE: Self = Self(0);

    /// Whether the set has this usage.
    pub fn contains(self, usage: KeyUsage) -> bool {
        self.0 & usage.bit() != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with this usage added.
    #[must_use]
    pub fn with(self, usage: KeyUsage) -> Self {
        Self(self.0 | usage.bit())
    }

    /// The usages in the order of the RFC's bits.
    pub fn iter(self) -> impl Iterator<Item = KeyUsage> {
        KeyUsage::ALL.into_iter().filter(move |usage| self.contains(*usage))
    }

    pub(crate) fn from_der(decoded: x509_cert::ext::pkix::KeyUsage) -> Self {
        Self(decoded.0.bits())
    }

    /// None if the set is empty, which the extension must not be.
    pub(crate) fn to_der(self) -> Option<x509_cert::ext::pkix::KeyUsage> {
        let flags = FlagSet::new(self.0).ok()?;
        (!self.is_empty()).then_some(x509_cert::ext::pkix::KeyUsage(flags))
    }
}

impl FromIterator<KeyUsage> for KeyUsages {
    fn from_iter<I: IntoIterator<Item = KeyUsage>>(usages: I) -> Self {
        usages.into_iter().fold(Self::NONE, Self::with)
    }
}

impl std::fmt::Debug for KeyUsages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl std::fmt::Display for KeyUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyUsage {
    type Err = UnknownUsage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|usage| usage.name() == text).ok_or_else(|| UnknownUsage {
            name: text.to_owned(),
            kind: "a key usage",
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

impl ExtendedKeyUsage {
    /// Every purpose that certificates here can have.
    pub const ALL: [Self; 6] = [
        Self::ServerAuth,
        Self::ClientAuth,
        Self::CodeSigning,
        Self::EmailProtection,
        Self::TimeStamping,
        Self::OcspSigning,
    ];

    /// The name in text.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerAuth => "server-auth",
            Self::ClientAuth => "client-auth",
            Self::CodeSigning => "code-signing",
            Self::EmailProtection => "email-protection",
            Self::TimeStamping => "time-stamping",
            Self::OcspSigning => "ocsp-signing",
        }
    }

    pub(crate) fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ServerAuth => rfc5280::ID_KP_SERVER_AUTH,
            Self::ClientAuth => rfc5280::ID_KP_CLIENT_AUTH,
            Self::CodeSigning => rfc5280::ID_KP_CODE_SIGNING,
            Self::EmailProtection => rfc5280::ID_KP_EMAIL_PROTECTION,
            Self::TimeStamping => rfc5280::ID_KP_TIME_STAMPING,
            Self::OcspSigning => rfc5280::ID_KP_OCSP_SIGNING,
        }
    }

    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.oid() == oid)
    }
}

impl std::fmt::Display for ExtendedKeyUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ExtendedKeyUsage {
    type Err = UnknownUsage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|usage| usage.name() == text).ok_or_else(|| UnknownUsage {
            name: text.to_owned(),
            kind: "an extended key usage",
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}
