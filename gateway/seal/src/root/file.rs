//! Reads the root key from a file, or creates the file.

use std::path::Path;

use chancery_files::{Readers, Trusted};
use zeroize::Zeroizing;

use super::{RootKey, RootKeyError};
use crate::envelope::KEY_LEN;
use crate::keyring::random_key;

/// More than any key or passphrase has.
pub(super) const MOST_BYTES: u64 = 4096;

impl RootKey {
    /// The key in the file `path`: 32 bytes, or 64 hexadecimal digits with or without a line end.
    /// Nobody may change or read it but those who are trusted to.
    ///
    /// # Errors
    /// [`RootKeyError`] of the kinds `Untrusted` and `Malformed`.
    pub fn from_file(path: &Path, trusted: &Trusted) -> Result<Self, RootKeyError> {
        let content = trusted.read_secret(path, MOST_BYTES)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if content.len() == KEY_LEN {
            key.copy_from_slice(&content);
        } else {
            hex::decode_to_slice(content.trim_ascii_end(), key.as_mut())
                .map_err(|_| RootKeyError::Malformed { path: path.to_owned() })?;
        }
        Ok(Self::new(key, format!("the file {}", path.display())))
    }

    /// Makes a random key and keeps it in the new file `path` with mode 0600, as hexadecimal digits.
    /// The file appears whole or not at all, and is on the disk when this returns. Without it a store
    /// that it seals is lost, so it belongs into a backup, apart from that of the store.
    ///
    /// # Errors
    /// [`RootKeyError`] of the kinds `Exists`, `NotWritten` and `Randomness`.
    pub fn create_file(path: &Path) -> Result<Self, RootKeyError> {
        let key = random_key().map_err(|_| RootKeyError::Randomness)?;
        let mut content = Zeroizing::new([b'\n'; 2 * KEY_LEN + 1]);
        if let Some(digits) = content.first_chunk_mut::<{ 2 * KEY_LEN }>() {
            hex::encode_to_slice(key.as_ref(), digits).map_err(|_| RootKeyError::Randomness)?;
        }
        let made = chancery_files::create(path, content.as_ref(), Readers::Owner);
        made.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => RootKeyError::Exists { path: path.to_owned() },
            _ => RootKeyError::NotWritten { path: path.to_owned(), reason: error.to_string() },
        })?;
        Ok(Self::new(key, format!("the file {}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    fn read(path: &Path) -> Result<RootKey, RootKeyError> {
        RootKey::from_file(path, &Trusted::process())
    }

    fn file_with(content: &[u8], mode: u32) -> (PathBuf, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (path, directory)
    }

    #[test]
    fn reads_bytes_and_digits() {
        let raw: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mut ends_like_a_line = raw;
        ends_like_a_line[31] = b'\n';
        let digits = hex::encode(raw);
        for (content, expected) in [
            (raw.to_vec(), raw),
            (ends_like_a_line.to_vec(), ends_like_a_line),
            (digits.clone().into_bytes(), raw),
            (format!("{}\r\n", digits.to_uppercase()).into_bytes(), raw),
        ] {
            let (path, _directory) = file_with(&content, 0o600);
            assert_eq!(read(&path).unwrap().bytes(), &expected);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let not_hex = "x".repeat(64);
        for content in [&b""[..], b"short", &[1; 31], &[1; 33], &[b'0'; 63], not_hex.as_bytes()] {
            let (path, _directory) = file_with(content, 0o600);
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, RootKeyError::Malformed { .. }), "{refused:?}");
        }
        let missing = read(Path::new("/nonexistent/root.key")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent"), "{missing}");
        let directory = read(Path::new("/")).unwrap_err();
        assert!(matches!(directory, RootKeyError::Untrusted(_)), "{directory:?}");
    }

    #[test]
    fn refuses_a_file_that_others_can_reach() {
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            let (path, _directory) = file_with(&[1; 32], mode);
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, RootKeyError::Untrusted(_)), "{refused:?}");
            let said = refused.to_string();
            assert!(said.contains(&format!("mode {mode:04o}")), "{said}");
            assert!(said.contains("chmod go-"), "{said}");
        }
        let (path, _directory) = file_with(&[1; 32], 0o400);
        read(&path).unwrap();
    }

    #[test]
    fn makes_a_file_once_and_reads_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let made = RootKey::create_file(&path).unwrap();
        assert_eq!(read(&path).unwrap().bytes(), made.bytes());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let again = RootKey::create_file(&path).unwrap_err();
        assert!(matches!(again, RootKeyError::Exists { .. }), "{again:?}");
        assert_eq!(read(&path).unwrap().bytes(), made.bytes());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing left over");
        let other = RootKey::create_file(&directory.path().join("other.key")).unwrap();
        assert_ne!(other.bytes(), made.bytes());
    }

    #[test]
    fn is_not_shown() {
        let (path, _directory) = file_with(&[0xab; 32], 0o600);
        let shown = format!("{:?}", read(&path).unwrap());
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"), "{shown}");
    }
}
