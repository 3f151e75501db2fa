//! Changing small files so that a crash at any moment leaves the old file or the new one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::directory::{Readers, give_as_parent, parent, sync_parent};
use crate::draft::Draft;

/// Writes a file in one step: a reader sees the old content or the new, never half of it, and so does
/// a reader after a crash. When this returns, the content and its name are on the disk. What `path`
/// names is replaced; if it is a symbolic link, the link is, and not what it leads to.
///
/// # Errors
/// What the system said; the old content is still there.
pub fn replace(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut draft = Draft::new(path, readers)?;
    draft.write_all(content)?;
    draft.keep()
}

/// Writes a file that is not there yet, in one step as [`replace`] does.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is anything of this name; else what the system said.
pub fn create(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut draft = Draft::new(path, readers)?;
    draft.write_all(content)?;
    draft.keep_new()
}

/// Gives a file, of which nothing is left to be written, another name in the same directory. When this returns, it
/// has that name on the disk.
///
/// # Errors
/// What the system said.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

/// Whether there is anything of this name: also a symbolic link that leads nowhere, through which a file would be
/// made where it leads. What cannot be looked at is taken to be there.
pub fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Removes a file. When this returns, it is gone from the disk.
///
/// # Errors
/// What the system said, also if there is no such file.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_parent(path)
}

/// Tries whether files can be made in a directory, with one that has no name and of which nothing is left.
///
/// # Errors
/// What the system said.
pub fn try_directory(path: &Path) -> io::Result<()> {
    tempfile::tempfile_in(path).map(drop)
}

/// Makes a directory and those above it that are missing, each for its owner alone (mode 0700). When this
/// returns, their names are on the disk. A directory that is there is left as it is.
///
/// # Errors
/// What the system said.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(path) {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a directory and those above it that are missing, each with the group and the readers of the one that it is in.
/// When this returns, their names are on the disk. A directory that is there is left as it is.
///
/// # Errors
/// What the system said.
pub fn make_directory_as_parent(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = parent(path) {
        make_directory_as_parent(parent)?;
    }
    make_directory(path)?;
    give_as_parent(path, &File::open(path)?, 0o755)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn a_file_for_its_owner_is_that_even_if_it_was_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"new", Readers::Owner).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"new"[..], 0o600));
        assert_eq!(entries(directory.path()), 1, "something was left over");
    }

    #[test]
    fn a_file_is_for_those_who_read_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (path, folder) = (directory.path().join("policy"), directory.path().join("a/b"));
        for (of, file) in [(0o700, 0o600), (0o750, 0o640), (0o2755, 0o644), (0o777, 0o644)] {
            fs::set_permissions(directory.path(), Permissions::from_mode(of)).unwrap();
            replace(&path, b"x", Readers::AsDirectory).unwrap();
            assert_eq!(mode(&path), file, "{of:o}");
        }
        fs::set_permissions(directory.path(), Permissions::from_mode(0o750)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), None, Some(54_321)).unwrap();
        }
        make_directory_as_parent(&folder).unwrap();
        make_directory_as_parent(&folder).unwrap();
        replace(&folder.join("file"), b"x", Readers::AsDirectory).unwrap();
        let group = fs::metadata(directory.path()).unwrap().gid();
        for (path, expected) in [(folder.clone(), 0o750), (folder.join("file"), 0o640)] {
            assert_eq!((mode(&path), fs::metadata(&path).unwrap().gid()), (expected, group));
        }
    }

    #[test]
    fn what_a_link_leads_to_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let (target, path) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        replace(&path, b"new", Readers::Owner).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::remove_file(&path).unwrap();
        symlink(directory.path().join("nowhere"), &path).unwrap();
        let refused = create(&path, b"new", Readers::Owner).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(!directory.path().join("nowhere").exists());
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("is-a-directory");
        fs::create_dir_all(path.join("not-empty")).unwrap();
        replace(&path, b"new", Readers::Owner).unwrap_err();
        create(&path, b"new", Readers::Owner).unwrap_err();
        assert_eq!(entries(directory.path()), 1);
        replace(&directory.path().join("missing/file"), b"new", Readers::Owner).unwrap_err();
        replace(Path::new("/"), b"new", Readers::Owner).unwrap_err();
    }

    #[test]
    fn a_file_is_created_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        create(&path, b"first", Readers::Owner).unwrap();
        let again = create(&path, b"second", Readers::Owner).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"first"[..], 0o600));
        assert_eq!(entries(directory.path()), 1);
        remove(&path).unwrap();
        assert_eq!(remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn many_who_write_at_once_each_write_a_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shared");
        std::thread::scope(|scope| {
            for letter in b'a'..b'i' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace(path, &[letter; 4096], Readers::Owner).unwrap();
                        let read = fs::read(path).unwrap();
                        assert!(read.len() == 4096 && read.iter().all(|byte| *byte == read[0]));
                    }
                });
            }
        });
        assert_eq!(entries(directory.path()), 1);
    }

    #[test]
    fn directories_are_made_for_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        assert_eq!((mode(&path), mode(&directory.path().join("a"))), (0o700, 0o700));
        fs::write(path.join("file"), "").unwrap();
        make_directory(&path.join("file")).unwrap_err();
    }
}
