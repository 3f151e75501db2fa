use std::time::Duration;

use chancery_identity::TenantId;

/// A question to the certificate policies: what, if anything, may be certified here?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The tenant for which the certificate would be issued.
    pub tenant: TenantId,
    /// Who asks: `acme:ACCOUNT`, an identity, or `internal:NAME` for the gateway itself.
    pub requester: String,
    /// The identity behind the requester, if it has one.
    pub identity: Option<String>,
    /// The profile asked for; none leaves the choice to the policy.
    pub profile: Option<String>,
    /// The key to be certified.
    pub key: KeyFacts,
    /// The common name in the signing request.
    pub common_name: Option<String>,
    /// The subject alternative names in the signing request.
    pub requested: Vec<Name>,
    /// The names that the requester has proved to control, and how.
    pub validated: Vec<ValidatedName>,
    /// The validity period asked for.
    pub requested_validity: Option<Duration>,
    /// Whatever else is known, by name. A name may occur several times.
    pub attributes: Vec<(String, String)>,
}

/// What a policy is told about a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// `ecdsa-p256`, `ecdsa-p384`, `rsa` or `ed25519`.
    pub algorithm: String,
    /// Size of the modulus (RSA) or the curve's field, in bits.
    pub bits: u32,
}

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `dns`, `ip`, `uri` or `email`.
    pub kind: String,
    /// The name in its usual text form; DNS names in lower case.
    pub value: String,
}

/// A name that the requester has proved to control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedName {
    /// `dns`, `ip`, `uri` or `email`.
    pub kind: String,
    /// The name in its usual text form; DNS names in lower case.
    pub value: String,
    /// How: `http-01`, `dns-01`, `tls-alpn-01`, `identity`, `internal`.
    pub method: String,
}

/// The certificate that the policies propose. The core still enforces its own rules on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateTemplate {
    /// The subject's common name; none leaves the subject empty.
    pub common_name: Option<String>,
    /// The subject alternative names.
    pub names: Vec<Name>,
    /// Key usages (RFC 5280 §4.2.1.3) as `digital-signature`, `key-encipherment`, ….
    pub key_usages: Vec<String>,
    /// Extended key usages (RFC 5280 §4.2.1.12) as `server-auth`, `client-auth`, ….
    pub extended_key_usages: Vec<String>,
    /// How long the certificate shall be valid.
    pub validity: Duration,
    /// The profile that was applied.
    pub profile: String,
    /// The issuer that shall sign; none for the tenant's default.
    pub issuer: Option<String>,
}
