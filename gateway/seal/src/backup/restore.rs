//! Creates the file of a store from a backup.

use std::io::Read;
use std::path::Path;

use chancery_store::redb::Import;
use chancery_store::{Key, Version};

use super::{BackupEnd, BackupError, BackupReader};

/// How much is written at once, in bytes.
const BATCH: usize = 8 << 20;

/// Makes the file of a store at `path`, where there must be none, out of a backup. Nothing of it may be relied on
/// before the end is [authentic](BackupEnd::authenticate). Blocks.
///
/// # Errors
/// [`BackupError`]; what is at `path` is no store then.
pub fn restore<R: Read>(
    backup: &mut BackupReader<R>,
    path: &Path,
) -> Result<BackupEnd, BackupError> {
    let mut file = Import::create(path)?;
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut newest = Version::new(backup.header().newest);
    while let Some(record) = backup.next_record()? {
        bytes += record.value.len() + Key::MAX_LEN;
        newest = newest.max(record.version);
        batch.push(record);
        if bytes >= BATCH {
            file.put(&batch)?;
            (batch, bytes) = (Vec::new(), 0);
        }
    }
    file.put(&batch)?;
    file.finish(newest)?;
    Ok(backup.end()?.clone())
}
