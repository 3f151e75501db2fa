//! The files of a directory of policies, each read once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_files::{Trusted, Untrusted};

/// The files of a set by their names in the directory, each with what it had when it was loaded.
pub(crate) type Files = BTreeMap<PathBuf, Arc<[u8]>>;

/// The directory of policies while a set is loaded from it. Every file is read once, so that what is
/// kept of the set is what was loaded, whatever happens to the files meanwhile. None is read that others
/// than those who are trusted may change.
pub(crate) struct Sources<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) trusted: &'a Trusted,
    files: RefCell<Files>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(directory: &'a Path, trusted: &'a Trusted) -> Self {
        Self { directory, trusted, files: RefCell::default() }
    }

    /// The contents of a file, named relative to the directory, of at most so many bytes.
    pub(crate) fn read(&self, file: &Path, largest: u64) -> Result<Arc<[u8]>, Untrusted> {
        if let Some(read) = self.files.borrow().get(file) {
            return Ok(read.clone());
        }
        let read: Arc<[u8]> = self.trusted.read(&self.directory.join(file), largest)?.into();
        self.files.borrow_mut().insert(file.to_owned(), read.clone());
        Ok(read)
    }

    /// The same for text.
    pub(crate) fn read_text(&self, file: &Path) -> Result<String, Untrusted> {
        let read = self.read(file, LARGEST_TEXT)?;
        String::from_utf8(read.to_vec()).map_err(|_| Untrusted::NotText(self.directory.join(file)))
    }

    /// All that was read.
    pub(crate) fn into_files(self) -> Files {
        self.files.into_inner()
    }
}

/// The largest document, signature or file of cases, in bytes.
pub(crate) const LARGEST_TEXT: u64 = 16 * 1024 * 1024;
