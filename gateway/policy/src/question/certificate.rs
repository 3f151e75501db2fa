//! Questions about certificates, and what the policies propose.

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
    /// The subject in the signing request, by the short names of RFC 4519 (`CN`, `O`, …).
    pub subject: Vec<(String, String)>,
    /// The subject alternative names in the signing request.
    pub requested: Vec<Name>,
    /// The names that the requester has proved to control, and how.
    pub validated: Vec<ValidatedName>,
    /// What else the signing request asks to have in the certificate.
    pub extensions: Vec<Extension>,
    /// The validity period asked for.
    pub requested_validity: Option<Duration>,
    /// Whatever else is known, by name. A name may occur several times.
    pub attributes: Vec<(String, String)>,
}

/// What a policy is told about a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// `ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `rsa` or `ed25519`.
    pub algorithm: String,
    /// Size of the modulus (RSA) or the curve's field, in bits.
    pub bits: u32,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits.
    pub fingerprint: String,
}

/// A certificate extension (RFC 5280 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extension {
    /// Object identifier in dotted form.
    pub oid: String,
    /// Whether who does not know the extension has to reject the certificate.
    pub critical: bool,
    /// The DER encoding of the extension's value.
    pub value: Vec<u8>,
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
    /// The subject, by the short names of RFC 4519.
    pub subject: Vec<(String, String)>,
    /// The subject alternative names.
    pub names: Vec<Name>,
    /// Key usages (RFC 5280 §4.2.1.3) as `digital-signature`, `key-encipherment`, ….
    pub key_usages: Vec<String>,
    /// Extended key usages (RFC 5280 §4.2.1.12) as `server-auth`, `client-auth`, ….
    pub extended_key_usages: Vec<String>,
    /// How long the certificate shall be valid.
    pub validity: Duration,
    /// Further extensions.
    pub extensions: Vec<Extension>,
    /// The profile that was applied.
    pub profile: String,
    /// The issuer that shall sign; none for the tenant's default.
    pub issuer: Option<String>,
}

/// Why several policies propose no certificate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disagreement {
    /// What has to be the same is not.
    Different(&'static str),
    /// Each allows some, and none is allowed by all.
    NothingInCommon(&'static str),
}

impl CertificateTemplate {
    /// The template that both policies would have: the names, usages and extensions of both, for the
    /// shorter time. What cannot be narrowed has to be the same, and something has to be left.
    pub(crate) fn strictest(mut self, other: &Self) -> Result<Self, Disagreement> {
        if self.profile != other.profile {
            return Err(Disagreement::Different("profile"));
        }
        if self.subject != other.subject {
            return Err(Disagreement::Different("subject"));
        }
        self.issuer = match (self.issuer.take(), &other.issuer) {
            (Some(one), Some(two)) if one != *two => return Err(Disagreement::Different("issuer")),
            (one, two) => one.or_else(|| two.clone()),
        };
        common("name", &mut self.names, &other.names)?;
        common("key usage", &mut self.key_usages, &other.key_usages)?;
        common("purpose", &mut self.extended_key_usages, &other.extended_key_usages)?;
        if self.extensions != other.extensions {
            return Err(Disagreement::Different("extensions"));
        }
        self.validity = self.validity.min(other.validity);
        Ok(self)
    }
}

/// Keeps what is in both.
fn common<T: PartialEq>(
    what: &'static str,
    of: &mut Vec<T>,
    other: &[T],
) -> Result<(), Disagreement> {
    let there_is_some = !of.is_empty() || !other.is_empty();
    of.retain(|one| other.contains(one));
    if of.is_empty() && there_is_some {
        return Err(Disagreement::NothingInCommon(what));
    }
    Ok(())
}
