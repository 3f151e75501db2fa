//! Why a store cannot be opened, read or written.

use std::path::PathBuf;

use crate::{InvalidKey, Key};

/// Why a read gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The key that was asked for is none.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The record is there but is not what was written: it was damaged, swapped or cut short.
    #[error("the record {key} cannot be trusted: {reason}")]
    Damaged {
        /// The record.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
    /// The record belongs to the sealing of the store itself and is not served.
    #[error("the record {key} belongs to the seal and cannot be read through it")]
    Reserved {
        /// The record.
        key: Key,
    },
    /// The backend cannot be read at the moment.
    #[error("the store cannot be read: {0}")]
    Unavailable(String),
}

/// Why a commit was not acknowledged. Unless a variant says otherwise, nothing of the commit happened
/// and nothing of it will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A check did not hold: somebody else changed the record. Read again and decide anew.
    #[error("the record {key} was changed by somebody else in the meantime")]
    Conflict {
        /// The record of the first check that failed.
        key: Key,
    },
    /// There is no room for it on the disk. Earlier commits are safe and can be read.
    #[error(
        "the store's disk is full (16 MiB of it are kept in reserve): free some space, then try again"
    )]
    Full,
    /// The commit writes more than a commit may.
    #[error("the commit writes {bytes} bytes, more than the {limit} that one commit may")]
    TooLarge {
        /// What it would write.
        bytes: usize,
        /// The most it may, [`Commit::MAX_BYTES`](crate::Commit::MAX_BYTES).
        limit: usize,
    },
    /// A key that was built for the commit is none.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A record that the commit depends on is damaged.
    #[error("the record {key} cannot be trusted: {reason}")]
    Damaged {
        /// The record.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
    /// The record belongs to the sealing of the store itself and is not written by anybody else.
    #[error("the record {key} belongs to the seal and cannot be written through it")]
    Reserved {
        /// The record.
        key: Key,
    },
    /// The backend failed. If it failed while making this commit durable, it is **unknown** whether
    /// the commit happened: read again before repeating it.
    #[error("the store cannot commit: {0}")]
    Unavailable(String),
}

impl From<ReadError> for CommitError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::InvalidKey(error) => Self::InvalidKey(error),
            ReadError::Damaged { key, reason } => Self::Damaged { key, reason },
            ReadError::Reserved { key } => Self::Reserved { key },
            ReadError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store in this one, has the file open.
    #[error("the store {} is in use by another process: stop that one, or choose another directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The process that had the file open did not come to its end, and only reading was asked for.
    #[error(
        "the store {} was not closed in order: the next start brings it into order, and until then it is not looked at",
        path.display()
    )]
    Unclosed {
        /// The file.
        path: PathBuf,
    },
    /// The file is not one of ours, or not intact.
    #[error(
        "the store {} cannot be used: {reason}; `chancery store check` says what of it can be read, and what to do",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a release whose format this one does not know.
    #[error("the store {} has format {found}, this release reads format {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format that this release reads and writes.
        known: u64,
    },
    /// The file cannot be reached or created.
    #[error("the store {} cannot be opened: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
}
