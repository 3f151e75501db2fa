//! Files that the binary writes for people (keys never wider than 0600, nothing half-written), and
//! secrets that people write for it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use zeroize::Zeroizing;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner: mode 0600.
    Owner,
    /// Everybody: mode 0644.
    Everybody,
}

/// Writes a file in one step: readers see the old content or the new, never half of it.
///
/// # Errors
/// Names the file and what the system said; the old content is still there.
pub(crate) fn replace(path: &Path, content: &[u8], readers: Readers) -> Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o644,
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // Left over from a crash; creating it anew makes sure of its mode.
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot remove {}", beside.display()));
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
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
    fn a_key_file_is_its_owner_s_alone_even_if_it_was_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(directory.path().join("key.new"), "left by a crash").unwrap();
        replace(&path, b"new", Readers::Owner).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

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
