//! Knowing that a disk is full, before and after the fact.

use std::io;
use std::path::{Path, PathBuf};

use crate::Commit;

/// What a commit of a few records needs.
const SMALL_COMMIT: u64 = 64 << 10;

/// The room on the disk that the file is on.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    reserve_bytes: u64,
}

impl Space {
    pub(super) fn of(path: &Path, reserve_bytes: u64) -> Self {
        Self { path: path.to_owned(), reserve_bytes }
    }

    /// Whether the disk has room for a small commit.
    pub(super) fn has_room(&self) -> bool {
        !self.is_low(SMALL_COMMIT)
    }

    /// Whether the disk has so little left that nothing should be added to it. Asked before each
    /// write, because a write that fails half-way costs a check of the whole file. Quotas and limits
    /// on the file's size are not seen here; they end in [`is_full`].
    pub(super) fn is_low(&self, needed_bytes: u64) -> bool {
        // A file system that cannot say is tried.
        let Ok(status) = rustix::fs::statvfs(&self.path) else { return false };
        let free = status.f_bavail.saturating_mul(status.f_frsize);
        free < self.reserve_bytes.saturating_add(needed_bytes)
    }
}

/// What a commit may need on the disk: its data, and the copies of the pages on the way to each key.
pub(super) fn needed_bytes(commit: &Commit) -> u64 {
    const PAGES_PER_WRITE: usize = 6;
    const PAGE: usize = 4096;
    let pages = commit.writes().len().saturating_mul(PAGES_PER_WRITE * PAGE);
    commit.len_bytes().saturating_add(pages) as u64
}

/// Whether the operating system refused for want of room: disk, quota or limit on the file's size.
pub(super) fn is_full(error: &::redb::Error) -> bool {
    let ::redb::Error::Io(error) = error else { return false };
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
