//! Why ACME operations are refused or fail, with stable codes for the audit log.

use std::time::Duration;

use chancery_audit::AuditError;
use chancery_compute::ComputeError;
use chancery_gate::{Denied, Refused};
use chancery_identity::EvidenceError;
use chancery_policy::Denial;
use chancery_store::{CommitError, InvalidKey, ReadError};

use crate::id::AccountId;
use crate::identifier::{Identifier, InvalidIdentifier};
use crate::jws::{BadKey, JwsError};
use crate::nonce::BadNonce;

/// Why an ACME operation was refused or failed. The edge turns these into problem documents
/// (RFC 8555 §6.7).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request's signature or shape is wrong.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The request is well-formed and makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The nonce is missing, not ours, used or too old.
    #[error(transparent)]
    BadNonce(#[from] BadNonce),
    /// The signed `url` is another than the one that was called (RFC 8555 §6.4).
    #[error("the request was signed for {signed}, and sent to {called}")]
    WrongUrl {
        /// What the client signed.
        signed: String,
        /// What it called.
        called: String,
    },
    /// No account has this key or URL.
    #[error("there is no such account")]
    NoAccount,
    /// The account was deactivated (RFC 8555 §7.3.6).
    #[error("the account is deactivated")]
    AccountDeactivated,
    /// The signer may not do this.
    #[error("{0}")]
    Unauthorized(String),
    /// The client certificate of the connection does not count any more. Without it the request could
    /// be another tenant's, so it is not taken for one that came without a certificate.
    #[error("{0}: connect without it, or with another one")]
    Certificate(#[from] EvidenceError),
    /// The terms of service must be agreed to.
    #[error("agree to the terms of service at {terms} (`termsOfServiceAgreed`)")]
    TermsNotAgreed {
        /// Where they are.
        terms: String,
    },
    /// A contact has another scheme than `mailto`.
    #[error("the contact `{0}` is not supported: use a `mailto:` address")]
    UnsupportedContact(String),
    /// A contact is no usable address.
    #[error("the contact `{contact}` is not usable: {reason}")]
    InvalidContact {
        /// What was sent.
        contact: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Names in an order are not certified here. Never empty.
    #[error("{} of the order's identifiers cannot be certified", .0.len())]
    Identifiers(Vec<RefusedIdentifier>),
    /// The order names a profile that does not exist.
    #[error("there is no profile `{asked}`; there is: {known}")]
    InvalidProfile {
        /// The name in the order, shortened.
        asked: String,
        /// The names that exist.
        known: String,
    },
    /// A policy refused to create the account, or to revoke.
    #[error(transparent)]
    Denied(Box<Denied>),
    /// A policy refused names of an order.
    #[error("{denied}")]
    DeniedIdentifiers {
        /// The denial that counts.
        denied: Box<Denied>,
        /// Which names were denied, in the order asked for. Policies are not asked about the rest once
        /// one of them has failed.
        identifiers: Vec<DeniedIdentifier>,
    },
    /// There is nothing of this kind at the URL, or it is another account's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The order is not `ready` (RFC 8555 §7.4).
    #[error("the order is {status}, and only an order that is ready can be finalized")]
    OrderNotReady {
        /// Its state.
        status: &'static str,
    },
    /// The CSR cannot be certified.
    #[error("{0}")]
    BadCsr(String),
    /// The key belongs to another account (RFC 8555 §7.3.5).
    #[error("the key belongs to another account")]
    KeyInUse {
        /// That account.
        account: AccountId,
    },
    /// The certificate was revoked before.
    #[error("the certificate is already revoked")]
    AlreadyRevoked,
    /// The reason code is unknown or may not be used by this signer.
    #[error("{0}")]
    BadRevocationReason(String),
    /// The account or the client has as much as it may have.
    #[error("{message}")]
    RateLimited {
        /// What it has too much of.
        message: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// Too many decisions are waiting for the policies, or too much work for the processors.
    #[error("too many requests at once: try again")]
    Overloaded,
    /// It is the gateway's fault. The details are for the log only.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

impl Error {
    /// A stable code for the audit log; for a denial it is the policy's.
    pub fn code(&self) -> &str {
        match self {
            Self::Jws(JwsError::BadSignature) => "bad-signature",
            Self::Jws(_)
            | Self::Malformed(_)
            | Self::WrongUrl { .. }
            | Self::BadNonce(BadNonce::Malformed) => "malformed",
            Self::BadNonce(BadNonce::Unknown) => "bad-nonce",
            Self::NoAccount => "no-account",
            Self::AccountDeactivated => "account-deactivated",
            Self::Unauthorized(_) => "unauthorized",
            Self::Certificate(why) => why.code(),
            Self::TermsNotAgreed { .. } => "terms-not-agreed",
            Self::UnsupportedContact(_) => "unsupported-contact",
            Self::InvalidContact { .. } => "invalid-contact",
            Self::Identifiers(_) => "rejected-identifier",
            Self::InvalidProfile { .. } => "invalid-profile",
            Self::Denied(denied) | Self::DeniedIdentifiers { denied, .. } => &denied.code,
            Self::NotFound(_) => "not-found",
            Self::OrderNotReady { .. } => "order-not-ready",
            Self::BadCsr(_) => "bad-csr",
            Self::KeyInUse { .. } => "key-in-use",
            Self::AlreadyRevoked => "already-revoked",
            Self::BadRevocationReason(_) => "bad-revocation-reason",
            Self::RateLimited { .. } => "rate-limited",
            Self::Overloaded => Denial::OVERLOADED,
            Self::Internal(_) => "internal",
        }
    }
}

/// One name of an order that is not certified here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedIdentifier {
    /// Its type, as sent.
    pub kind: String,
    /// Its value, as sent.
    pub value: String,
    /// Why.
    pub reason: InvalidIdentifier,
}

/// One name of an order that a policy refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedIdentifier {
    /// The name.
    pub identifier: Identifier,
    /// The policy's stable code.
    pub code: String,
    /// For the caller.
    pub message: String,
}

/// A failure of the gateway itself.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store does not take a commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The audit log does not take an event, so nothing may be answered.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A record cannot be written.
    #[error("a record cannot be encoded: {0}")]
    Encode(String),
    /// Two records contradict each other.
    #[error("the records of {0} contradict each other")]
    Inconsistent(String),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
    /// A computation did not come to its end.
    #[error(transparent)]
    Compute(ComputeError),
    /// Signing or revoking is not possible at the moment.
    #[error("issuance is not available: {0}")]
    Issuance(String),
}

impl From<BadKey> for Error {
    fn from(error: BadKey) -> Self {
        Self::Jws(JwsError::BadKey(error))
    }
}

impl From<ComputeError> for Error {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Busy => Self::Overloaded,
            ComputeError::Interrupted => Self::Internal(InternalError::Compute(error)),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<InvalidKey> for Error {
    fn from(error: InvalidKey) -> Self {
        Self::Internal(InternalError::Read(error.into()))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(denied) | Refused::NeedsApproval { denied, .. } => Self::Denied(denied),
            Refused::Overloaded => Self::Overloaded,
            Refused::Unrecorded(error) => error.into(),
        }
    }
}
