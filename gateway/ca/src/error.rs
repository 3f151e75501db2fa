//! The errors of opening a CA, issuing, revoking, and signing CRLs and OCSP responses.

use chancery_keys::{KeyName, pkcs11, software};
use chancery_records::ViewError;
use chancery_store::{CommitError, ReadError};
use chancery_x509::lint::Finding;
use chancery_x509::{BuildError, CertificateError, GeneralName, RandomFailure, Serial, WeakKey};
use jiff::Timestamp;

/// Why the CA cannot be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name is not one.
    #[error("`{0}` cannot be the name of a CA: use 1 to 40 of a-z, 0-9 and '-'")]
    Name(String),
    /// Another CA has to certify its key first.
    #[error(
        "the CA `{0}` has no certificate yet: make a request with `chancery ca request`, have it \
         certified, and install the chain with `chancery ca install`"
    )]
    NotInstalled(String),
    /// The store cannot be read.
    #[error("the CA's records cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the CA's records cannot be stored: {0}")]
    Commit(#[from] CommitError),
    /// A record is not what this release writes.
    #[error("the CA's record {record} is damaged or of another release: {reason}")]
    Record {
        /// Its storage key.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The stored certificate cannot be read.
    #[error("the CA's certificate cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    /// Root, issuing certificate and keys do not belong together.
    #[error("the CA's certificates and keys do not belong together: {0}")]
    Mismatch(&'static str),
    /// The key of a CA made earlier is not there.
    #[error(
        "the CA's key `{key}` is not among the {kind} keys: was this CA made with another signer or \
         token?"
    )]
    KeyMissing {
        /// The key.
        key: KeyName,
        /// Where it was looked for.
        kind: &'static str,
    },
    /// A software key cannot be made.
    #[error("the CA's key cannot be made: {0}")]
    Generate(#[from] software::GenerateError),
    /// A stored software key cannot be used.
    #[error("the CA's key cannot be loaded: {0}")]
    Insert(#[from] software::InsertError),
    /// The token cannot make a key.
    #[error("the CA's key cannot be made in the token: {0}")]
    Token(#[from] pkcs11::GenerateError),
    /// The system's random number generator failed.
    #[error(transparent)]
    Random(#[from] RandomFailure),
    /// A CA certificate cannot be built from the configuration.
    #[error("the CA certificates cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The configuration makes a CA certificate that must not be signed.
    #[error("the CA certificate `{name}` would be wrong: {}", listed(.findings))]
    Lint {
        /// Its common name.
        name: String,
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
    /// A CA certificate cannot be signed.
    #[error("the CA certificates cannot be signed: {0}")]
    Sign(#[from] chancery_keys::SignError),
    /// The first CRLs cannot be made.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// It is not known what is revoked.
    #[error("the revocations cannot be used: {0}")]
    Revocations(#[from] ViewError),
}

/// Why a certificate is not prepared: it must not, or cannot, be issued as proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The key is weak.
    #[error("the key must not be certified: {0}")]
    WeakKey(#[from] WeakKey),
    /// Nothing is left of the validity within the issuing CA's own.
    #[error(
        "no time is left between {not_before} and {not_after} within the issuing CA's own validity, \
         which ends at {issuer_ends}"
    )]
    Validity {
        /// Proposed begin.
        not_before: Timestamp,
        /// Proposed end.
        not_after: Timestamp,
        /// When the issuing CA's certificate ends.
        issuer_ends: Timestamp,
    },
    /// A CA of the chain does not permit the name below it (RFC 5280 §4.2.1.10): nobody would accept the
    /// certificate.
    #[error("the name constraints of the issuing CA do not permit {0}")]
    NotPermitted(GeneralName),
    /// What was proposed breaks rules for certificates.
    #[error("the certificate would be wrong: {}", listed(.0))]
    Lint(Vec<Finding>),
    /// What was proposed cannot be encoded.
    #[error("the certificate cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The system's random number generator failed.
    #[error(transparent)]
    Random(#[from] RandomFailure),
}

/// Why a prepared certificate is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signer gave no signature.
    #[error("the certificate is not signed: {0}")]
    Signer(#[from] chancery_keys::SignError),
    /// It was prepared by another CA.
    #[error("the certificate was prepared by the CA {0}, which is not this one")]
    OtherIssuer(String),
    /// The signature cannot be put into the certificate.
    #[error("the signed certificate cannot be encoded: {0}")]
    Encode(#[from] BuildError),
}

/// Why a certificate is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// It is already.
    #[error("the certificate {0} is already revoked")]
    AlreadyRevoked(Serial),
    /// No issuing CA here has the key identifier.
    #[error("no issuing CA here has the key identifier {0}")]
    OtherIssuer(String),
    /// The revocation cannot be stored.
    #[error("the revocation cannot be stored: {0}")]
    Commit(#[from] CommitError),
    /// Its place in the store has no name.
    #[error("the revocation cannot be stored: {0}")]
    Read(#[from] ReadError),
    /// The process is ending; it is unknown whether the revocation was stored.
    #[error("the revocation was interrupted: the gateway is ending; try again")]
    Interrupted,
}

/// Why there is no new CRL.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The CRL number cannot be stored, so it must not be used.
    #[error("the CRL number cannot be stored: {0}")]
    Commit(#[from] CommitError),
    /// The CRL number cannot be read.
    #[error("the CRL's record cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The CRL's record is not what this release writes.
    #[error("the CRL's record {record} is damaged: {reason}")]
    Record {
        /// Its storage key.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The CRL cannot be encoded.
    #[error("the CRL cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The CRL would break rules for CRLs.
    #[error("the CRL would be wrong: {}", listed(.0))]
    Lint(Vec<Finding>),
    /// The signer gave no signature.
    #[error("the CRL is not signed: {0}")]
    Sign(#[from] chancery_keys::SignError),
    /// It is not known what is revoked.
    #[error("no CRL is made, since it is not known what is revoked: {0}")]
    Revocations(#[from] ViewError),
    /// The process is ending.
    #[error("building the CRL was interrupted: the gateway is ending")]
    Interrupted,
    /// The root's key cannot be loaded to sign the root's CRL.
    #[error("the root's key cannot be used: {0}")]
    RootKey(#[source] Box<OpenError>),
}

/// Why the OCSP responder cannot sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// The delegate's key cannot be used.
    #[error("the OCSP signer's key cannot be used: {0}")]
    Key(#[from] chancery_keys::software::InsertError),
    /// The delegate's certificate cannot be read.
    #[error("the OCSP signer's certificate cannot be read: {0}")]
    Unreadable(#[from] CertificateError),
    /// The delegate's certificate is not one.
    #[error("the OCSP signer's certificate cannot be used: {0}")]
    Certificate(&'static str),
    /// The answer cannot be encoded.
    #[error("the OCSP answer cannot be built: {0}")]
    Build(#[from] BuildError),
    /// There is no signature.
    #[error("the OCSP answer is not signed: {0}")]
    Sign(#[from] chancery_keys::SignError),
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
