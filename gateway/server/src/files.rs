//! Files that the binary writes for people (keys never wider than 0600, nothing half-written), and
//! secrets that people write for it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
pub(crate) use chancery_files::Readers;
use zeroize::Zeroizing;

/// Writes a file in one step: readers see the old content or the new, never half of it.
///
/// # Errors
/// Names the file and what the system said; the old content is still there.
pub(crate) fn replace(path: &Path, content: &[u8], readers: Readers) -> Result<()> {
    chancery_files::replace(path, content, readers)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a secret, which nobody but its owner may be able to read. White space behind it, as editors
/// leave it, does not belong to it.
///
/// # Errors
/// Names the file and what is wrong with it.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    let open = metadata.permissions().mode() & 0o077 != 0;
    ensure!(!open, "{shown} can be read by others: chmod 600 it");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end().to_owned()))
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
        assert!(secret(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
