use std::path::Path;

use ::redb::Database;

use super::open_error;
use crate::OpenError;

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    /// As it was written last.
    Whole,
    /// With pages that are not in use, as a crash leaves them, which are given back now.
    Repaired,
}

/// Checks the pages of a store's file against their checksums. Nobody may have it open. Takes time in proportion to
/// its size, and blocks.
///
/// # Errors
/// [`OpenError`]: if the newest state in it is not whole, only a backup helps.
pub fn verify(path: &Path) -> Result<Integrity, OpenError> {
    let mut database = Database::open(path).map_err(|error| open_error(path, error))?;
    let whole = database.check_integrity().map_err(|error| open_error(path, error))?;
    Ok(if whole { Integrity::Whole } else { Integrity::Repaired })
}
