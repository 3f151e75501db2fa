//! The backup that the operator names.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use chancery_seal::backup::BackupReader;

/// Reads how a backup begins.
pub(super) fn open_backup(path: &Path) -> Result<BackupReader<File>> {
    let shown = || path.display().to_string();
    // Opening a FIFO would wait, and what comes out of it can be read once only.
    let is_file = path.metadata().with_context(|| format!("cannot read {}", shown()))?.is_file();
    ensure!(
        is_file,
        "--from {}: this is no regular file, and a backup is read several times: write it to a file first",
        shown()
    );
    let file = File::open(path).with_context(|| format!("cannot read {}", shown()))?;
    BackupReader::open(file).with_context(shown)
}
