//! The errors of issuing and revoking certificates, and of opening the pipeline.

use chancery_audit::{AuditError, Outcome};
use chancery_ca::PrepareError;
use chancery_compute::ComputeError;
use chancery_gate::Refused;
use chancery_identity::IdentityName;
use chancery_store::{CommitError, ReadError};
use chancery_upstream::UpstreamError;
use chancery_x509::{CertificateError, GeneralName, InvalidName, KeyError, RandomFailure, WeakKey};

use tokio::task::JoinError;

use crate::{SearchError, UnknownIssuer};

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key is weak.
    #[error("the key is too weak to be certified: {0}")]
    WeakKey(#[from] WeakKey),
    /// The key was revoked as compromised.
    #[error("the key is known to be compromised; make a new one")]
    CompromisedKey,
    /// The gate refused the operation.
    #[error("{}", .0.told())]
    Gate(#[from] Refused),
    /// The request's common name cannot be certified.
    #[error("the certificate request asks for an impossible name: {0}")]
    BadName(#[from] InvalidName),
    /// Names would be certified that the requester has not proved to control.
    #[error("these names have not been validated for the requester: {}", list(.0))]
    NamesNotValidated(Vec<GeneralName>),
    /// As a client certificate it would be somebody of another tenant.
    #[error(
        "a client certificate for {0} would be somebody of another tenant: have that tenant ask for it, \
         or ask for a certificate that is for servers alone"
    )]
    OfAnotherTenant(IdentityName),
    /// The dates asked for are impossible, or the issuer does not take dates.
    #[error("the validity asked for is not possible: {0}")]
    Dates(&'static str),
    /// What policy proposed cannot be a certificate: the policy is wrong, not the caller.
    #[error("the policy proposed an impossible certificate: {0}")]
    Template(String),
    /// Policy chose an issuer that is not configured.
    #[error(transparent)]
    UnknownIssuer(#[from] UnknownIssuer),
    /// A CA of the issuer's chain does not permit the name below it (RFC 5280 §4.2.1.10).
    #[error("the issuer's own certificates do not permit it to certify {0}")]
    NotPermitted(GeneralName),
    /// The private CA refused to prepare it, for instance because lint found something.
    #[error("the certificate cannot be prepared: {0}")]
    Prepare(PrepareError),
    /// The other CA did not issue.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Signing, storing or recording failed. The request is fine; it may be tried again.
    #[error("the certificate could not be issued at the moment: {0}")]
    Unavailable(#[from] Unavailable),
}

impl IssueError {
    /// Stable code of the reason, as in the audit log.
    pub fn code(&self) -> &str {
        match self {
            Self::WeakKey(_) => "weak-key",
            Self::CompromisedKey => "compromised-key",
            Self::Gate(refused) => refused.code(),
            Self::NamesNotValidated(_) => "names-not-validated",
            Self::OfAnotherTenant(_) => "name-of-another-tenant",
            Self::BadName(_) => "bad-name",
            Self::Dates(_) => "bad-dates",
            Self::Template(_) => "bad-template",
            Self::UnknownIssuer(_) => "unknown-issuer",
            Self::NotPermitted(_) => "name-not-permitted",
            Self::Prepare(_) => "not-preparable",
            Self::Upstream(_) => "upstream-failed",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Whether the same request may succeed later, with nobody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unavailable(error) => error.is_passing(),
            Self::Upstream(error) => error.is_passing(),
            Self::Gate(refused) => refused.is_overload(),
            _ => false,
        }
    }

    /// Whether it was refused, and not allowed and not done.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.outcome(), Outcome::Denied { .. })
    }

    /// How it stands in the audit log: refused, or allowed and not done.
    pub(crate) fn outcome(&self) -> Outcome {
        let code = self.code().to_owned();
        match self {
            Self::WeakKey(_)
            | Self::CompromisedKey
            | Self::Gate(_)
            | Self::NamesNotValidated(_)
            | Self::OfAnotherTenant(_)
            | Self::BadName(_)
            | Self::NotPermitted(_)
            | Self::Dates(_) => Outcome::Denied { code },
            Self::Template(_)
            | Self::UnknownIssuer(_)
            | Self::Prepare(_)
            | Self::Upstream(_)
            | Self::Unavailable(_) => Outcome::Failed { code },
        }
    }
}

impl From<PrepareError> for IssueError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::NotPermitted(name) => Self::NotPermitted(name),
            other => Self::Prepare(other),
        }
    }
}

/// Why a certificate was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The tenant has no such certificate.
    #[error("there is no certificate with this serial number")]
    NotFound,
    /// It is revoked already (RFC 8555 §7.6: `alreadyRevoked`).
    #[error("the certificate is revoked already")]
    AlreadyRevoked,
    /// The gate refused the operation.
    #[error("{}", .0.told())]
    Gate(#[from] Refused),
    /// The reason is not one that the one who asks may give (RFC 8555 §7.6: `badRevocationReason`).
    #[error("this revocation reason is not accepted here: {0}")]
    BadReason(&'static str),
    /// It could not be done. It may have been done in part; trying again completes it.
    #[error("the certificate could not be revoked at the moment: {0}")]
    Unavailable(#[from] Unavailable),
}

impl RevokeError {
    /// Stable code of the reason, as in the audit log.
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyRevoked => "already-revoked",
            Self::Gate(refused) => refused.code(),
            Self::BadReason(_) => "bad-reason",
            Self::Unavailable(_) => "unavailable",
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let code = self.code().to_owned();
        match self {
            Self::Unavailable(_) => Outcome::Failed { code },
            _ => Outcome::Denied { code },
        }
    }
}

/// Why certificates were not revoked together.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// It was not said which.
    #[error(
        "say which certificates to revoke: by name, domain, requester, key or issuer; dates alone are \
         not enough"
    )]
    Unspecific,
    /// It could not be done. It may have been done in part; trying again completes it.
    #[error("the certificates could not be revoked at the moment: {0}")]
    Unavailable(#[from] Unavailable),
}

impl BulkError {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Unspecific => Outcome::Denied { code: "unspecific".to_owned() },
            Self::Unavailable(_) => Outcome::Failed { code: "unavailable".to_owned() },
        }
    }
}

/// What stood in the way of something that was allowed.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The audit log could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The private CA could not sign.
    #[error(transparent)]
    Sign(#[from] chancery_ca::SignError),
    /// The private CA could not revoke.
    #[error(transparent)]
    Revoke(#[from] chancery_ca::RevokeError),
    /// The other CA could not revoke.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The issuer of a certificate is no longer configured.
    #[error(transparent)]
    Issuer(#[from] UnknownIssuer),
    /// A certificate from an issuer or from the inventory is unreadable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key of a certificate from the inventory is unreadable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key could not be looked at: too much else is to be computed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The CA for SSH could not sign.
    #[error(transparent)]
    Ssh(chancery_ca::SshSignError),
    /// The system's random number generator failed.
    #[error(transparent)]
    Random(#[from] RandomFailure),
    /// Certificates were to be found one after the other, and one is gone.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The CRL with all that was revoked could not be made.
    #[error("everything is revoked, but the CRL does not show it yet: {0}")]
    Crl(#[from] chancery_ca::CrlError),
    /// The issuer signed something else than it had prepared.
    #[error("the issuer signed another serial number than was recorded")]
    OtherSerial,
    /// The work ended abnormally.
    #[error("the work was stopped: {0}")]
    Stopped(#[from] JoinError),
}

impl Unavailable {
    /// Whether there is no room for it on the store's disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Full))
    }

    /// Whether the same may succeed later, with nobody doing anything. What an issuer signed is not what was asked
    /// for, and it would sign the same again; a configuration does not change by itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Upstream(error) => error.is_passing(),
            Self::OtherSerial | Self::Certificate(_) | Self::Key(_) | Self::Issuer(_) => false,
            _ => true,
        }
    }
}

/// Why the pipeline could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The default issuer is not configured.
    #[error("the default issuer: {0}")]
    Issuer(#[from] UnknownIssuer),
    /// What an earlier process left unfinished could not be read.
    #[error("interrupted certificates could not be read: {0}")]
    Read(#[from] ReadError),
    /// The inventory could not be given its indexes.
    #[error("the inventory's indexes could not be written: {0}")]
    Reindex(#[source] CommitError),
    /// What an earlier process left unfinished could not be settled.
    #[error("interrupted certificates could not be settled: {0}")]
    Commit(#[from] CommitError),
    /// That could not be recorded.
    #[error("settling interrupted certificates could not be recorded: {0}")]
    Audit(#[from] AuditError),
}

fn list(names: &[GeneralName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
