//! Reading and writing the files of policies.

use std::io;
use std::path::{Path, PathBuf};

use chancery_files::Readers;

/// A file or directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {}", path.display(), chancery_files::explained(path, cause))]
pub struct FileError {
    /// What was being done, as a verb.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl FileError {
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self { action, path, cause }
    }
}

/// Writes a file whole or not at all; others cannot read it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    chancery_files::replace(path, content, Readers::Owner).map_err(FileError::of("write", path))
}
