//! Files that the binary writes for people (keys never wider than 0600, nothing half-written), and
//! secrets that people write for it.

use std::path::Path;

use anyhow::{Context, Result};
pub(crate) use chancery_files::Readers;
use chancery_files::{Draft, Trusted};
use zeroize::Zeroizing;

/// The largest file with a password, a PIN or a private key, in bytes.
const LARGEST_SECRET: u64 = 64 * 1024;

/// Writes a file in one step: readers see the old content or the new, never half of it.
///
/// # Errors
/// Names the file and what the system said; the old content is still there.
pub(crate) fn replace(path: &Path, content: &[u8], readers: Readers) -> Result<()> {
    chancery_files::replace(path, content, readers)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Begins a file beside its place: that it cannot be written is known before the work for it is done.
///
/// # Errors
/// Names the file and what the system said.
pub(crate) fn draft(path: &Path, readers: Readers) -> Result<Draft> {
    Draft::new(path, readers).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a secret, which nobody but its owner may be able to read, and nobody but root and the user of this
/// process may change. Line ends behind it, as editors leave them, do not belong to it.
///
/// # Errors
/// Names the file and what is wrong with it.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<String>> {
    secret_of(path, &Trusted::process())
}

/// The same for a file that others may have a hand in.
///
/// # Errors
/// As [`secret`].
pub(crate) fn secret_of(path: &Path, trusted: &Trusted) -> Result<Zeroizing<String>> {
    let content = trusted.read_secret(path, LARGEST_SECRET)?;
    let text = std::str::from_utf8(&content)
        .with_context(|| format!("{} is not text in UTF-8", path.display()))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        replace(&path, b"correct horse\n", Readers::Owner).unwrap();
        assert_eq!(secret(&path).unwrap().as_str(), "correct horse");
        replace(&path, b"correct horse\n", Readers::Everybody).unwrap();
        assert!(secret(&path).unwrap_err().to_string().contains("chmod go-rwx"));
    }
}
