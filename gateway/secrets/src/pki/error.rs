use chancery_audit::AuditError;
use chancery_identity::NoRoom;
use chancery_issuance::{BulkError, IssueError, RevokeError, SearchError, Unavailable};
use chancery_store::ReadError;

use crate::allowed::OperationError;

/// Why an operation on certificates was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The policies refused.
    #[error("denied by policy ({code}): {message}")]
    Denied {
        /// Stable code of the reason.
        code: String,
        /// For the caller.
        message: String,
    },
    /// Too many decisions are waiting.
    #[error("too many requests are waiting for a decision: try again")]
    Overloaded,
    /// No certificates are mounted there.
    #[error("nothing is mounted at this path")]
    NoMount,
    /// The tenant has no such certificate.
    #[error("there is no certificate with this serial number")]
    NotFound,
    /// What is asked for cannot be done.
    #[error("{0}")]
    Refused(String),
    /// There is no room for what was found.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store could not be read.
    #[error("certificates cannot be read: {0}")]
    Read(#[from] ReadError),
    /// What was allowed could not be carried out.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// What was allowed cannot be issued: a policy, an issuer or its CA is at fault, and not the caller.
    #[error(transparent)]
    NotIssued(IssueError),
    /// The audit log could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl OperationError for PkiError {
    fn denied(code: String, message: String) -> Self {
        Self::Denied { code, message }
    }

    fn overloaded() -> Self {
        Self::Overloaded
    }

    fn code(&self) -> &str {
        match self {
            Self::Denied { code, .. } => code,
            Self::Overloaded => "overloaded",
            Self::NoRoom(_) => "no-room",
            Self::NoMount => "no-mount",
            Self::NotFound => "not-found",
            Self::Refused(_) => "refused",
            Self::NotIssued(error) => error.code(),
            Self::Read(_) | Self::Unavailable(_) | Self::Audit(_) => "unavailable",
        }
    }
}

impl From<SearchError> for PkiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::NoSuchPlace(_) => Self::Refused(error.to_string()),
            SearchError::NoRoom(error) => error.into(),
            SearchError::Read(error) => error.into(),
        }
    }
}

impl From<RevokeError> for PkiError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::NotFound => Self::NotFound,
            error if error.is_overload() => Self::Overloaded,
            RevokeError::Denied { code, message } => Self::Denied { code, message },
            RevokeError::Unavailable(error) => error.into(),
            RevokeError::AlreadyRevoked | RevokeError::BadReason(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl From<BulkError> for PkiError {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Unspecific => Self::Refused(error.to_string()),
            BulkError::Unavailable(error) => error.into(),
        }
    }
}

impl From<IssueError> for PkiError {
    fn from(error: IssueError) -> Self {
        let code = error.code().to_owned();
        match error {
            _ if error.is_overload() => Self::Overloaded,
            IssueError::Denied { message, .. } => Self::Denied { code, message },
            IssueError::Unavailable(error) => error.into(),
            IssueError::WeakKey(_)
            | IssueError::CompromisedKey
            | IssueError::BadName(_)
            | IssueError::NamesNotValidated(_)
            | IssueError::OfAnotherTenant(_)
            | IssueError::NotPermitted(_)
            | IssueError::Dates(_) => Self::Refused(error.to_string()),
            // The policy or the CA is at fault: the log says how.
            other => Self::NotIssued(other),
        }
    }
}
