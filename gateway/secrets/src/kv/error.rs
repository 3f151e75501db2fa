//! The errors of key-value operations.

use chancery_gate::{Coded, Refused};
use chancery_identity::NoRoom;
use chancery_store::{CommitError, InvalidKey, ReadError};

use super::config::InvalidSetting;
use super::custom::InvalidCustomMetadata;
use super::data::InvalidData;
use super::path::InvalidPath;
use super::version::VersionMetadata;

/// Why an operation on secrets was not done. No variant carries anything of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// The gate refused the operation.
    #[error(transparent)]
    Gate(#[from] Refused),
    /// Nothing is mounted there.
    #[error("nothing is mounted at this path")]
    NoMount,
    /// There is no such secret, or not that version.
    #[error("there is no such secret or version")]
    NotFound,
    /// The version is deleted or destroyed; its metadata is left.
    #[error("version {} of the secret is deleted or destroyed", .0.number)]
    Gone(Box<VersionMetadata>),
    /// The write was to replace another version than the current one.
    #[error("check-and-set parameter did not match the current version")]
    CasMismatch,
    /// The mount or the secret wants every write to say what it replaces.
    #[error("check-and-set parameter required for this call")]
    CasRequired,
    /// No versions were named.
    #[error("No version number provided")]
    NoVersions,
    /// More versions were named than a secret can have.
    #[error("more version numbers are named than a secret can have")]
    TooManyVersions,
    /// No secret can be made there.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The value cannot be stored.
    #[error(transparent)]
    Data(#[from] InvalidData),
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The notes cannot be stored.
    #[error(transparent)]
    CustomMetadata(#[from] InvalidCustomMetadata),
    /// Others changed the secret again and again while this request tried to.
    #[error("the secret is being changed by too many requests at once: try again")]
    Contended,
    /// There is no room for what was found.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store could not be read.
    #[error("secrets cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The store could not be written.
    #[error("secrets cannot be written: {0}")]
    Commit(#[from] CommitError),
    /// A record is not what this release writes.
    #[error("the record {0} cannot be understood: was it written by a newer release?")]
    Record(String),
}

impl KvError {
    /// Whether there is no room for it on the store's disk.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Commit(CommitError::Full))
    }
}

impl Coded for KvError {
    fn code(&self) -> &str {
        match self {
            Self::Gate(refused) => refused.code(),
            Self::NoRoom(_) => "no-room",
            Self::NoMount => "no-mount",
            Self::NotFound => "not-found",
            Self::Gone(_) => "version-gone",
            Self::CasMismatch => "cas-mismatch",
            Self::CasRequired => "cas-required",
            Self::NoVersions => "no-versions",
            Self::TooManyVersions => "too-many-versions",
            Self::Path(_) => "invalid-path",
            Self::Data(_) => "invalid-data",
            Self::Setting(_) => "invalid-setting",
            Self::CustomMetadata(_) => "invalid-custom-metadata",
            Self::Contended => "contended",
            Self::Read(_) => "store-read",
            Self::Commit(_) => "store-commit",
            Self::Record(_) => "store-record",
        }
    }
}

impl From<InvalidKey> for KvError {
    fn from(error: InvalidKey) -> Self {
        Self::Read(error.into())
    }
}
