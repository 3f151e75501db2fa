//! Whether a file is as it was written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redb::{Builder, Database, DatabaseError, ReadOnlyDatabase, StorageError};

use super::guard::guarded;
use super::open_error;
use crate::OpenError;

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// As it was written last.
    Whole,
    /// As a crash leaves it, which is put in order now.
    Repaired,
    /// Not closed in order, and with a newest commit that is not whole. It is at the commit before now.
    WentBack,
}

/// Checks all pages of a store's file that are in use against their checksums. Nobody may have it open. Takes time in
/// proportion to its size, and blocks.
///
/// # Errors
/// [`OpenError`]; [`OpenError::Damaged`] if the newest state in it is not whole. A file that was closed in order is
/// not changed then.
pub fn verify(path: &Path) -> Result<Integrity, OpenError> {
    let file_error = |error| open_error(path, error);
    let closed: Result<_, DatabaseError> = guarded(|| ReadOnlyDatabase::open(path).map(drop));
    let (builder, went_back) = checking();
    let opened: Result<Database, DatabaseError> = guarded(|| builder.open(path));
    let mut database = opened.map_err(file_error)?;
    if went_back.load(Ordering::Relaxed) {
        return Ok(Integrity::WentBack);
    }
    let whole = guarded(|| database.check_integrity()).map_err(file_error)?;
    let is_closed = !matches!(closed, Err(DatabaseError::RepairAborted));
    Ok(if whole && is_closed { Integrity::Whole } else { Integrity::Repaired })
}

/// Opens a file, or makes it, after a check of all its pages: a database that trusts a damaged file answers from it
/// what is not true, or panics.
pub(super) fn open_checked(
    cache_bytes: usize,
    open: impl FnOnce(&mut Builder) -> Result<Database, DatabaseError>,
) -> Result<Database, DatabaseError> {
    let (mut builder, went_back) = checking();
    let opened = guarded(|| open(builder.set_cache_size(cache_bytes)));
    if opened.is_ok() && went_back.load(Ordering::Relaxed) {
        tracing::warn!(
            target: "store",
            "the newest commit in the store's file is not whole: it is at the commit before, as after a power cut. If \
             there was none, the disk has lost a commit: see docs/operating/store.md"
        );
    }
    opened
}

/// A builder that checks everything, and whether it had to go back to the commit before the newest.
fn checking() -> (Builder, Arc<AtomicBool>) {
    let went_back = Arc::<AtomicBool>::default();
    let mut builder = Builder::new();
    let noted = went_back.clone();
    builder.set_check_integrity_on_open(true).set_repair_callback(move |session| {
        // Called at 0, 0.6 and 0.9; between the first two only when a commit is taken back.
        if (0.1..0.5).contains(&session.progress()) {
            noted.store(true, Ordering::Relaxed);
        }
    });
    (builder, went_back)
}

/// Whether this is what the database says of a file that is not as it was written.
pub(super) fn is_damage(error: &StorageError) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        StorageError::Corrupted(_) => true,
        StorageError::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        _ => false,
    }
}
