//! Why an operation on transit keys failed, and which errors concern only one input of a batch.

use std::borrow::Cow;

use chancery_compute::ComputeError;
use chancery_gate::{Coded, Refused};
use chancery_identity::NoRoom;
use chancery_keys::software::OaepError;
use chancery_keys::{SignError, WrapError};
use chancery_store::{CommitError, InvalidKey, Key, ReadError, lenient};

/// Why an operation on keys was not done. No variant carries anything secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitError {
    /// The gate refused the operation.
    #[error(transparent)]
    Gate(#[from] Refused),
    /// No keys are mounted there.
    #[error("nothing is mounted at this path")]
    NoMount,
    /// There is no key with this name.
    #[error("there is no key with this name")]
    NotFound,
    /// A key is to be used that is not there.
    #[error("{0} key not found")]
    NoKey(&'static str),
    /// The key is disabled or waits for its destruction.
    #[error("the key is {0}")]
    NotEnabled(&'static str),
    /// What is asked for cannot be done with this key, or at all.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    /// What is to be decrypted was made with another key or for another purpose, or was changed.
    #[error("it does not open: made with another key or other associated data, or changed")]
    Unauthentic,
    /// The HSM is away or busy: the same may succeed later.
    #[error("the keys cannot be used at present: {0}")]
    Unavailable(String),
    /// The processors are busy with other requests: the same may succeed later.
    #[error("the keys cannot be used at present: {0}")]
    Busy(ComputeError),
    /// Others changed the key while this request tried to.
    #[error("the key is being changed by another request: try again")]
    Contended,
    /// The system's random number generator, or the library, failed.
    #[error("no key can be made: {0}")]
    Making(String),
    /// A key failed for a reason that lies within.
    #[error("the key cannot be used: {0}")]
    Broken(String),
    /// There is no room for what was found.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store could not be read.
    #[error("keys cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("keys cannot be written: {0}")]
    Commit(CommitError),
    /// A record is not what this release writes.
    #[error("the record {0} cannot be understood: was it written by a newer release?")]
    Record(String),
}

/// What each of several inputs came to. What lies within, such as an HSM that is away, is the error of the
/// whole and in none of these.
pub type Each<T> = Vec<Result<T, TransitError>>;

/// Adds a result to those before it.
///
/// # Errors
/// That of `result`, unless it is about this one input alone.
pub(super) fn add<T>(
    each: &mut Each<T>,
    result: Result<T, TransitError>,
) -> Result<(), TransitError> {
    match result {
        Err(error) if !error.is_about_input() => Err(error),
        result => {
            each.push(result);
            Ok(())
        }
    }
}

impl TransitError {
    /// Whether another input may succeed where this one did not.
    fn is_about_input(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unauthentic)
    }
}

impl TransitError {
    /// Whether there is no room for it on the store's disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Full))
    }
}

impl Coded for TransitError {
    fn code(&self) -> &str {
        match self {
            Self::Gate(refused) => refused.code(),
            Self::NoRoom(_) => "no-room",
            Self::NoMount => "no-mount",
            Self::NotFound | Self::NoKey(_) => "not-found",
            Self::NotEnabled(_) => "not-enabled",
            Self::Refused(_) => "refused",
            Self::Unauthentic => "unauthentic",
            Self::Unavailable(_) => "hsm-unavailable",
            Self::Busy(_) => "busy",
            Self::Contended => "contended",
            Self::Making(_) => "not-made",
            Self::Broken(_) => "key-broken",
            Self::Read(_) => "store-read",
            Self::Commit(_) => "store-commit",
            Self::Record(_) => "store-record",
        }
    }
}

impl From<CommitError> for TransitError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Contended,
            error => Self::Commit(error),
        }
    }
}

impl From<InvalidKey> for TransitError {
    fn from(error: InvalidKey) -> Self {
        Self::Read(error.into())
    }
}

impl From<ComputeError> for TransitError {
    fn from(error: ComputeError) -> Self {
        match error {
            ComputeError::Busy => Self::Busy(error),
            ComputeError::Interrupted => Self::Broken(error.to_string()),
        }
    }
}

impl From<SignError> for TransitError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Busy { .. }
            | SignError::Timeout { .. }
            | SignError::Unavailable { .. }
            | SignError::Mismatch { .. } => Self::Unavailable(error.to_string()),
            SignError::Unsupported { algorithm, .. } => {
                Self::Refused(format!("the key does not sign with {}", algorithm.as_str()).into())
            }
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<WrapError> for TransitError {
    fn from(error: WrapError) -> Self {
        match error {
            WrapError::Key(error) => error.into(),
            WrapError::Malformed | WrapError::Refused { .. } => Self::Unauthentic,
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<OaepError> for TransitError {
    fn from(error: OaepError) -> Self {
        match error {
            OaepError::Refused => Self::Unauthentic,
            error => Self::Refused(error.to_string().into()),
        }
    }
}

/// Passes over a record that is damaged, to which this entry leads: it must not keep the others.
pub(super) fn unless_damaged<T>(
    entry: &Key,
    done: Result<T, TransitError>,
) -> Result<Option<T>, TransitError> {
    let error = match done {
        Err(TransitError::Read(error)) => error,
        Err(TransitError::Record(record)) => {
            let reason = format!("the record {record} is not what it should be");
            ReadError::Damaged { key: entry.clone(), reason }
        }
        done => return done.map(Some),
    };
    lenient::pass_over(error)?;
    Ok(None)
}
