//! The errors of operations on certificates.

use chancery_gate::{Coded, Refused};
use chancery_identity::NoRoom;
use chancery_issuance::{BulkError, IssueError, RevokeError, SearchError, Unavailable};
use chancery_store::ReadError;

/// Why an operation on certificates was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The gate refused the operation.
    #[error(transparent)]
    Gate(#[from] Refused),
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
}

impl Coded for PkiError {
    fn code(&self) -> &str {
        match self {
            Self::Gate(refused) => refused.code(),
            Self::NoRoom(_) => "no-room",
            Self::NoMount => "no-mount",
            Self::NotFound => "not-found",
            Self::Refused(_) => "refused",
            Self::NotIssued(error) => error.code(),
            Self::Read(_) | Self::Unavailable(_) => "unavailable",
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
            RevokeError::Gate(refused) => refused.into(),
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
        match error {
            IssueError::Gate(refused) => refused.into(),
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
