//! Opening a file that is there, to write in it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::check::{Found, Trusted};
use crate::error::Untrusted;

impl Trusted {
    /// Opens a file to read it and to write at its end: one that nobody else may change, and no symbolic link.
    ///
    /// # Errors
    /// As for [`file`](Self::file), and [`Untrusted::Link`].
    pub fn append(&self, path: &Path) -> Result<File, Untrusted> {
        self.no_link(path)?;
        let Found { path, .. } = self.find_file(path)?;
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(flags)
            .open(&path)
            .map_err(Untrusted::io("open", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::{ErrorKind, Write as _};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_written_on_if_it_is_ours_alone_and_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("log"), directory.path().join("link"));
        let trusted = Trusted::process();
        let missing = trusted.append(&path).unwrap_err();
        assert_eq!(missing.cause().map(std::io::Error::kind), Some(ErrorKind::NotFound));
        fs::write(&path, "one ").unwrap();
        trusted.append(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        symlink(&path, &link).unwrap();
        assert!(matches!(trusted.append(&link), Err(Untrusted::Link(_))));
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(trusted.append(&path), Err(Untrusted::Writable { .. })));
        assert!(matches!(trusted.append(directory.path()), Err(Untrusted::NotAFile(_))));
    }
}
