//! Writes a file under a temporary name and renames it when it is complete and on the disk.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::directory::{Readers, give_as_parent, sync_parent};

/// How many entries of a directory are looked at for drafts that were left.
const MOST_ENTRIES: usize = 10_000;
/// How often another name is tried.
const TRIES: usize = 16;
/// The digits of the random number in the name of a draft.
const DIGITS: usize = 16;
/// What the name of a draft ends with.
const END: &str = ".new";

/// A file that is being written beside its place, for what does not fit into memory. It gets its name when it
/// is [kept](Self::keep), whole and on the disk; dropped before that, it is gone.
///
/// It has a name that nobody can know before, it is never opened through a symbolic link, and it is locked, so that
/// the next draft of the same file removes it if its process was killed.
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
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        // Said now, and not after the work that the file is to hold.
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        remove_left(path, &name);
        for _ in 0..TRIES {
            let beside = path.with_file_name(draft_name(&name)?);
            match begin(&beside, readers) {
                Ok(Some(file)) => {
                    return Ok(Self { file, beside, path: path.to_owned(), kept: false });
                }
                // Another process looked for drafts between two steps, and took this one for one that was left.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
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
        self.put_in_place()
    }

    /// Puts it in its place as [`keep`](Self::keep) does, and goes on writing it from its end. It stays locked until it
    /// is closed.
    ///
    /// # Errors
    /// What the system said; what was in its place is still there.
    pub fn keep_to_append(self) -> io::Result<File> {
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags | OFlags::APPEND)?;
        self.keep_open()
    }

    /// The same, to write anywhere in it.
    ///
    /// # Errors
    /// What the system said; what was in its place is still there.
    pub fn keep_open(mut self) -> io::Result<File> {
        let file = self.file.try_clone()?;
        self.put_in_place()?;
        Ok(file)
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

impl Draft {
    fn put_in_place(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.kept = true;
        sync_parent(&self.path)
    }
}

/// Whether it has the name of a draft.
pub fn is_draft(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    digits(name).is_some()
}

/// What is before the digits in the name of a draft, with its dot.
fn digits(name: &[u8]) -> Option<&[u8]> {
    let (before, digits) = name.strip_suffix(END.as_bytes())?.split_last_chunk::<DIGITS>()?;
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (before.ends_with(b".") && digits.iter().all(hex)).then_some(before)
}

fn draft_name(name: &OsString) -> io::Result<OsString> {
    let mut random = [0; size_of::<u64>()];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let mut name = name.clone();
    name.push(format!(".{:016x}{END}", u64::from_ne_bytes(random)));
    Ok(name)
}

/// Makes the file and locks it; none if somebody removed it in between.
fn begin(beside: &Path, readers: Readers) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        // An entry of this name is refused, and so is a symbolic link.
        .create_new(true)
        .mode(readers.mode())
        .open(beside)?;
    if readers == Readers::AsDirectory
        && let Err(error) = give_as_parent(beside, &file, 0o644)
    {
        let _ = fs::remove_file(beside);
        return Err(error);
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // Without locks, nobody removes what was left.
        Ok(()) | Err(TryLockError::Error(_)) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
    }
}

/// Removes drafts of the file that nobody writes any more. What cannot be removed costs room and nothing else.
fn remove_left(path: &Path, name: &OsString) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(directory.unwrap_or(Path::new("."))) else { return };
    for entry in entries.take(MOST_ENTRIES).flatten() {
        let found = entry.file_name();
        let of_ours = digits(found.as_encoded_bytes())
            .and_then(|before| before.strip_suffix(b"."))
            .is_some_and(|before| before == name.as_encoded_bytes());
        if !of_ours {
            continue;
        }
        let draft = entry.path();
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(&draft) else {
            continue;
        };
        // It stays locked until it is gone, so that its process, if it only begins, sees that.
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(&draft);
        }
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
    use std::os::unix::fs::{FileExt as _, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_has_a_name_of_its_own_that_is_known_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let drafts = [(); 2].map(|()| Draft::new(&path, Readers::Owner).unwrap());
        assert_ne!(drafts[0].beside(), drafts[1].beside());
        assert!(drafts.iter().all(|draft| is_draft(draft.beside()) && draft.beside().exists()));
        for other in ["log", "log.new", "log.123.new", "log.0123456789abcdeg.new", "new"] {
            assert!(!is_draft(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_draft_that_was_left_is_removed_by_the_next_and_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let in_use = Draft::new(&path, Readers::Owner).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        for name in
            ["log.0123456789abcdef.new", "log.new", "other.0123456789abcdef.new", "elsewhere"]
        {
            fs::write(directory.path().join(name), "left").unwrap();
        }
        symlink(&elsewhere, directory.path().join("log.00000000000000ff.new")).unwrap();
        Draft::new(&path, Readers::Owner).unwrap().keep().unwrap();
        assert!(in_use.beside().exists());
        let name = in_use.beside().file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![
            "elsewhere".to_owned(),
            "log".to_owned(),
            "log.00000000000000ff.new".to_owned(),
            "log.new".to_owned(),
            "other.0123456789abcdef.new".to_owned(),
            name,
        ];
        expected.sort();
        assert_eq!(names(directory.path()), expected);
        assert_eq!(fs::read(elsewhere).unwrap(), b"left");
    }

    #[test]
    fn what_is_kept_open_is_written_on_under_its_name_and_its_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut draft = Draft::new(&path, Readers::Owner).unwrap();
        draft.write_all(b"one ").unwrap();
        let mut file = draft.keep_to_append().unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"two ").unwrap();
        file.write_all(b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one two three");
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(file);
        assert!(File::open(&path).unwrap().try_lock().is_ok());
        let file = Draft::new(&path, Readers::Owner).unwrap().keep_open().unwrap();
        file.write_all_at(b"x", 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\0x");
    }

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
