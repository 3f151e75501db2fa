use std::io;
use std::path::{Path, PathBuf};

use chancery_files::Readers;

use super::TokenSelector;

/// Remembers over restarts that a token has refused the PIN. Whatever starts a failed process again would
/// else try it until the token locks itself.
#[derive(Debug, Clone)]
pub(super) struct Latch {
    file: PathBuf,
}

const TEXT: &str = "The token refused the PIN, and another attempt could lock it.\n\
                    Correct the PIN, then remove this file.\n";

impl Latch {
    /// The latch of a token, as a file in this directory.
    pub(super) fn new(directory: &Path, token: &TokenSelector) -> Self {
        // Labels may have any character, and nobody needs to read the name back.
        let letters = token.value().bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        });
        Self { file: directory.join(format!("pin-refused-{}", letters.collect::<String>())) }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it is set. What cannot be told counts as set.
    pub(super) fn is_set(&self) -> bool {
        self.file.try_exists().unwrap_or(true)
    }

    /// Sets it, so that it outlasts a crash.
    pub(super) fn set(&self) -> io::Result<()> {
        chancery_files::replace(&self.file, TEXT.as_bytes(), Readers::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_until_its_file_is_removed_and_for_one_token_only() {
        let directory = tempfile::tempdir().unwrap();
        let latch =
            |label: &str| Latch::new(directory.path(), &TokenSelector::Label(label.to_owned()));
        let (one, other) = (latch("../one token"), latch("other"));
        assert!(!one.is_set());
        one.set().unwrap();
        assert!(one.is_set() && !other.is_set());
        assert_eq!(one.file().parent(), Some(directory.path()));
        std::fs::remove_file(one.file()).unwrap();
        assert!(!one.is_set());
    }
}
