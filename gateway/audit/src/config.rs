//! Where the audit log is, and when its files are closed.

use std::path::PathBuf;
use std::time::Duration;

use chancery_files::Trusted;
use zeroize::Zeroizing;

use crate::checkpoint::LogName;
use crate::mark::Marks;

/// Where the audit log is and what seals it.
pub struct AuditConfig {
    /// The file that is written. Its head, its newest checkpoint and its public key are beside it
    /// (`PATH.head`, `PATH.checkpoint`, `PATH.pub`), and so are the files that were closed. The files
    /// have mode 0600.
    pub path: PathBuf,
    /// Who may change the files and their directory; the directory is made if it is missing.
    pub trusted: Trusted,
    /// At least 32 random bytes, the same at every start.
    pub key: Zeroizing<Vec<u8>>,
    /// What the log is called in its checkpoints.
    pub name: LogName,
    /// The high-water mark in the caller's store.
    pub marks: Marks,
    /// When a file is closed and the next is begun.
    pub rotation: Rotation,
    /// How often it is signed how far the log has come, while it grows.
    pub checkpoints: Duration,
}

/// When a file is closed and the next is begun; never of itself by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Once it has so many bytes.
    pub bytes: Option<u64>,
    /// Once its first line is so old and there are others.
    pub age: Option<Duration>,
}
