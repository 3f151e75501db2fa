//! Backups: all records of a store in one state, sealed as they are, in one stream of bytes.
//!
//! A backup begins with a line that names its format and a line of JSON ([`BackupHeader`]). Then follow the
//! records in the order of their keys, each as a byte 1, the length of the key (2 bytes), of the value (4) and
//! its version (8), all big endian, key and value; and at the end a byte 0, the number of records (8), how many
//! of the store's were damaged (8), the SHA-256 of all bytes up to there, and an HMAC-SHA-256 over that hash under a key that follows from the root
//! key. So a backup that was cut short or changed is refused, and nobody without the root key makes one, or
//! leaves a record out of one.

mod read;
mod restore;
mod write;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};

use crate::root::RootKey;

pub use read::{BackupEnd, BackupReader};
pub use restore::restore;
pub use write::{Written, write_backup};

const FIRST_LINE: &[u8] = b"chancery-backup 1\n";
const RECORD: u8 = 1;
const END: u8 = 0;
const HASH: usize = digest::SHA256_OUTPUT_LEN;

/// What is told from the root key's other uses by this.
const PURPOSE: &[u8] = b"chancery backup, version 1";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    /// When it was begun (RFC 3339).
    pub created: String,
    /// The version of the program that made it.
    pub program: String,
    /// The number of the newest commit that is in it.
    pub newest: u64,
}

/// The key under which backups are authentic: it follows from the root key.
#[derive(Clone)]
pub struct BackupKey(hmac::Key);

impl BackupKey {
    /// That of stores that this root key opens.
    pub fn of(root: &RootKey) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, root.bytes()), PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }
}

impl std::fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupKey")
    }
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is something else.
    #[error("it is no backup of a format that this release knows")]
    NotABackup,
    /// It ends too early, as one that was interrupted while it was written or copied.
    #[error("it ends too early, after {records} records: it was not finished, or is cut short")]
    CutShort {
        /// How many whole records there are.
        records: u64,
    },
    /// Something in it is not as it is written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The store that it is to become cannot be made.
    #[error(transparent)]
    Store(#[from] chancery_store::OpenError),
    /// It was not made with this root key, or was changed.
    #[error(
        "it was not made under the root key from {origin}, or it was changed since: use the root key that \
         the store had when the backup was made"
    )]
    NotAuthentic {
        /// Where the root key came from.
        origin: String,
    },
}
