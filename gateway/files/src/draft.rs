use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::write::{Readers, sync_parent};

/// A file that is being written beside its place, for what does not fit into memory. It gets its name when it
/// is [kept](Self::keep), whole and on the disk; dropped before that, it is gone.
#[derive(Debug)]
pub struct Draft {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(path: &Path, readers: Readers) -> io::Result<Self> {
        // Two who write the same file at once, in this process or in two, must not get into each other's.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        // Said now, and not after the work that the file is to hold.
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let open =
            || OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(&beside);
        let file = match open() {
            // A process that had the same number left it when it was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&beside)?;
                open()?
            }
            opened => opened?,
        };
        Ok(Self { file, beside, path: path.to_owned(), kept: false })
    }

    /// Where it is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has what was written on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Takes its place, once it is on the disk.
    pub(crate) fn move_in(mut self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)?;
        self.kept = true;
        Ok(())
    }

    /// Where it is until then.
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Puts it in its place, where it takes that of any file that is there. What `path` names is replaced; if it
    /// is a symbolic link, the link is, and not what it leads to.
    ///
    /// # Errors
    /// What the system said; what was in its place is still there.
    pub fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.kept = true;
        sync_parent(&self.path)
    }

    /// Puts it in its place if nothing is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; else what the system said.
    pub fn keep_new(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.beside, &self.path)?;
        fs::remove_file(&self.beside)?;
        self.kept = true;
        sync_parent(&self.path)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_there_once_it_is_kept_and_gone_if_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        let mut draft = Draft::new(&path, Readers::Owner).unwrap();
        draft.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(draft);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut draft = Draft::new(&path, Readers::Owner).unwrap();
        draft.write_all(b"whole").unwrap();
        draft.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
