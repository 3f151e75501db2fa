//! Checking a log that is there, line by line, from its files alone or with what only some have: the
//! audit key, the store's mark, the public key, checkpoints that somebody kept.

mod finding;
mod patrol;
mod row;
mod walk;

use std::path::PathBuf;

use crate::checkpoint::{Checkpoint, PublicKey};
use crate::head::Head;
use crate::paths::Names;
use crate::{AuditKey, Mark};

pub use finding::{Finding, Kind, VerifyError};
pub(crate) use patrol::Patrol;
pub use patrol::{Pace, Patrolled};

/// What a log is checked with, beside its own lines. The default checks from line 1 on, without
/// anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checks<'a> {
    /// The audit key: whether the gateway wrote each line.
    pub key: Option<&'a AuditKey>,
    /// The mark in the store: whether it is all there, and not an older log.
    pub mark: Option<&'a Mark>,
    /// The key that signs checkpoints: whether the gateway signed what they say.
    pub public_key: Option<&'a PublicKey>,
    /// Checkpoints that somebody kept: whether the log is the one of which they were made. Needs the
    /// public key.
    pub kept: &'a [Checkpoint],
    /// The line that has to be there first (the files before it are elsewhere); 0 is as 1.
    pub from: u64,
    /// The line up to which it has to be there (the files after it are elsewhere); none for all.
    pub to: Option<u64>,
}

/// A log that is as it was written, as far as it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many files it has.
    pub files: usize,
    /// How many lines they have.
    pub lines: u64,
    /// The number of the last line; 0 if there is none.
    pub last: u64,
    /// Hash of the last line (64 zeros if there is none).
    pub last_hash: String,
    /// Bytes of an unfinished last line, as a crash leaves it. The next start cuts it off.
    pub torn_bytes: u64,
    /// How far the end of the log can be trusted.
    pub seal: Seal,
    /// Lines of the first format, which have no MAC: their chain alone vouches for them, and the line
    /// that follows them pins it.
    pub without_mac: u64,
    /// What the checkpoints among the lines say.
    pub checkpoints: Signatures,
    /// What operators have accepted as lost.
    pub losses: Vec<Loss>,
}

/// How far the end of a log can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// There is no head: lines cut off the end would not be noticed.
    Absent,
    /// The head agrees, but without the key it could have been made by anybody.
    Unchecked,
    /// The head agrees and was made with the audit key.
    Authentic,
    /// The last file was closed, and ends as one does that was.
    Closed,
}

/// What the checkpoints among the lines say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signatures {
    /// How many there are, each of which agrees with the lines before it.
    pub all: u64,
    /// How many are signed by the public key.
    pub signed: u64,
    /// How many lines the last of those covers.
    pub lines: u64,
}

/// Lines that an operator has accepted as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The first line that is missing.
    pub from: u64,
    /// The last one. Less than `from` if it cannot be known whether any is.
    pub to: u64,
    /// The line that says so.
    pub line: u64,
    /// When that was written.
    pub time: String,
    /// The operator's words.
    pub reason: String,
}

/// The files of the log at `path` that are in its directory, in their order: those that were closed, also if they were
/// packed with gzip since, and the one that is written.
///
/// # Errors
/// The directory cannot be read.
pub fn files_of(path: &std::path::Path) -> std::io::Result<Vec<PathBuf>> {
    Ok(Names::new(path).files_and_packed()?.into_values().collect())
}

/// Checks a log: every line's hash, the chain over all files (which may be given in any order, and be packed with
/// gzip) and their names, the trees that its checkpoints state, and the head beside the last file if there is
/// one; and whatever `checks` has. A log that a gateway is writing can be checked.
///
/// # Errors
/// The first thing that is wrong; see [`VerifyError`]. With the key, a log without head is an error.
/// With the public key, it is one if no checkpoint is signed by it.
pub fn verify(files: &[PathBuf], checks: &Checks<'_>) -> Result<Verified, VerifyError> {
    // The head first: the log of a running gateway only grows beyond it.
    let row = row::order(files)?;
    let last = row.last().ok_or(VerifyError::NoFiles)?;
    let head = Head::read(&Names::new(&last.path).head(), checks.key)
        .map_err(|cause| VerifyError::Read { path: last.path.clone(), cause })?;
    let bad_head = |problem| VerifyError::Head { path: last.path.clone(), problem };
    let head = head.transpose().map_err(bad_head)?;
    walk::Walk::new(&row, checks, head).run()
}
