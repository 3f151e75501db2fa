//! How often a token was asked to take its PIN without having said yes, over restarts of the process.
//! Whatever starts a failed process again would else try a wrong PIN until the token locks itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use chancery_files::Readers;

use crate::pkcs11::TokenSelector;

/// Counts the tries. It is written before a try, so that one that is interrupted counts.
#[derive(Debug)]
pub(crate) struct PinLockout {
    /// None remembers it for the process only.
    files: Option<Files>,
    tries: Tries,
}

/// Tries of which nobody knows that the token accepted the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tries {
    None,
    /// One, and the token did not say that the PIN is wrong.
    One,
    /// As many as there may be.
    Enough,
}

#[derive(Debug)]
struct Files {
    /// Is there after one try.
    tried: PathBuf,
    /// Is there when there may be no other.
    refused: PathBuf,
}

const TEXT: &str = "A login to this token did not succeed: it refused the PIN, or gave no clear answer.\n\
                    Another attempt could lock it. Make sure that the PIN is right, then remove this file.\n";

impl PinLockout {
    /// The lockout of a token, as files in this directory.
    pub(crate) fn new(directory: Option<&Path>, token: &TokenSelector) -> Self {
        let files = directory.map(|directory| Files::new(directory, token));
        let tries = files.as_ref().map_or(Tries::None, Files::tries);
        Self { files, tries }
    }

    pub(crate) fn tries(&self) -> Tries {
        self.tries
    }

    /// What has to be removed before there may be another try; none if that is forgotten with the
    /// process.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.files.as_ref().map(|files| files.refused.as_path())
    }

    /// Counts a try that is about to be made. Gives what there was before.
    ///
    /// # Errors
    /// It cannot be written down: the try must not be made.
    pub(crate) fn begin(&mut self) -> io::Result<Tries> {
        let before = self.tries;
        let tries = match before {
            Tries::None => Tries::One,
            Tries::One | Tries::Enough => Tries::Enough,
        };
        self.write(tries)?;
        self.tries = tries;
        Ok(before)
    }

    /// There may be no other try.
    ///
    /// # Errors
    /// The next process may not know of it.
    pub(crate) fn refuse(&mut self) -> io::Result<()> {
        self.restore(Tries::Enough)
    }

    /// The token took the PIN, or the tries after these certainly did not count.
    ///
    /// # Errors
    /// The next process will count them all the same.
    pub(crate) fn restore(&mut self, tries: Tries) -> io::Result<()> {
        self.tries = tries;
        self.write(tries)
    }

    fn write(&self, tries: Tries) -> io::Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.write(tries))
    }
}

impl Files {
    fn new(directory: &Path, token: &TokenSelector) -> Self {
        // Labels may have any character, and nobody needs to read the name back.
        let letters = token.value().bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        });
        let letters = letters.collect::<String>();
        Self {
            tried: directory.join(format!("pin-tried-{letters}")),
            refused: directory.join(format!("pin-refused-{letters}")),
        }
    }

    /// What cannot be told counts as there.
    fn tries(&self) -> Tries {
        let is_there = |file: &Path| file.try_exists().unwrap_or(true);
        if is_there(&self.refused) {
            Tries::Enough
        } else if is_there(&self.tried) {
            Tries::One
        } else {
            Tries::None
        }
    }

    /// Each step is one that either happened or did not, and outlasts a crash.
    fn write(&self, tries: Tries) -> io::Result<()> {
        match tries {
            Tries::None => {
                remove(&self.tried)?;
                remove(&self.refused)?;
            }
            Tries::One => {
                self.make()?;
                remove(&self.refused)?;
            }
            Tries::Enough => {
                self.make()?;
                chancery_files::rename(&self.tried, &self.refused)?;
            }
        }
        self.tried.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn make(&self) -> io::Result<()> {
        chancery_files::replace(&self.tried, TEXT.as_bytes(), Readers::Owner)
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lockout(directory: &Path, label: &str) -> PinLockout {
        PinLockout::new(Some(directory), &TokenSelector::Label(label.to_owned()))
    }

    #[test]
    fn two_tries_are_enough_until_the_file_is_removed_and_for_one_token_only() {
        let directory = tempfile::tempdir().unwrap();
        let mut one = lockout(directory.path(), "../one token");
        assert_eq!(one.tries(), Tries::None);
        for (before, after) in [(Tries::None, Tries::One), (Tries::One, Tries::Enough)] {
            assert_eq!(one.begin().unwrap(), before);
            assert_eq!(one.tries(), after);
            // As the next process finds it.
            assert_eq!(lockout(directory.path(), "../one token").tries(), after);
            assert_eq!(lockout(directory.path(), "other").tries(), Tries::None);
        }
        let file = one.file().unwrap();
        assert_eq!(file.parent(), Some(directory.path()));
        assert!(fs::read_to_string(file).unwrap().contains("then remove this file"));
        fs::remove_file(file).unwrap();
        assert_eq!(lockout(directory.path(), "../one token").tries(), Tries::None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_login_forgets_what_was_before_and_a_try_that_did_not_count_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let again = || lockout(directory.path(), "t").tries();
        let mut lockout = lockout(directory.path(), "t");
        for before in [Tries::None, Tries::One] {
            assert_eq!(lockout.begin().unwrap(), before);
            lockout.restore(before).unwrap();
            assert_eq!((lockout.tries(), again()), (before, before));
            lockout.begin().unwrap();
        }
        lockout.restore(Tries::None).unwrap();
        assert_eq!((lockout.tries(), again()), (Tries::None, Tries::None));
        lockout.refuse().unwrap();
        assert_eq!((lockout.tries(), again()), (Tries::Enough, Tries::Enough));
    }

    #[test]
    fn a_try_that_cannot_be_written_down_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut lockout = lockout(&directory.path().join("not there"), "t");
        assert!(lockout.begin().is_err());
        assert_eq!(lockout.tries(), Tries::None);
        assert!(lockout.refuse().is_err());
        assert_eq!(lockout.tries(), Tries::Enough);
    }
}
