//! Panics of the database, which damage in its file can make it do, turned into errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::redb::StorageError;

/// Does work in the database. If it panics, the file counts as damaged. What the work was done with must not be used
/// any more after an error, other than to be dropped.
pub(super) fn guarded<T, E: From<StorageError>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StorageError::Corrupted(format!("the database stopped: {}", said(&*panic))).into())
    })
}

/// Drops what may have been left in disorder by a panic.
pub(super) fn let_go<T>(thing: T) {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(thing)));
    if let Err(panic) = dropped {
        tracing::warn!(target: "store", reason = said(&*panic), "the database did not close in order");
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
