//! Where root may write by name: in a tree that nobody else has a hand in.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use crate::access::{Access, Class};
use crate::accounts;
use crate::check::STICKY;

/// Why root does not write in a directory.
#[derive(Debug, thiserror::Error)]
pub enum NotRootsAlone {
    /// Something there cannot be looked at.
    #[error("cannot examine {}: {cause}", path.display())]
    Io {
        /// What it is.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The path goes up.
    #[error("{} has `..` in it, and root writes to no such path: name the directory without", .0.display())]
    GoesUp(PathBuf),
    /// It leads to it or is in it, and is a symbolic link.
    #[error(
        "{} is a symbolic link, and root writes through none: name the directory without links, remove those \
         that are in it, and {}",
        path.display(),
        mend(directory)
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// It is in the directory, and is neither a file nor a directory.
    #[error("{} is neither a file nor a directory: remove it", .0.display())]
    Other(PathBuf),
    /// It leads to it or is in it, and belongs to somebody else.
    #[error(
        "{} belongs to the user {}, so root does not write to {}: {}",
        path.display(),
        accounts::user_name(*owner),
        directory.display(),
        mend(directory)
    )]
    Owner {
        /// What it is.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// The number of the user.
        owner: u32,
    },
    /// It leads to it or is in it, and others may change it.
    #[error(
        "{} has mode {mode:04o}, so others than root may change it, and root does not write to {}: {}",
        path.display(),
        directory.display(),
        mend(directory)
    )]
    Writable {
        /// What it is.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Makes sure that nobody but root can change a directory, anything in it, or the way to it, and that there is no
/// symbolic link among them. So what root looks up by name there stays what it is. Directories above it may have the
/// sticky bit.
///
/// # Errors
/// [`NotRootsAlone`], which says what to do.
pub fn roots_alone(directory: &Path) -> Result<(), NotRootsAlone> {
    let directory = &std::path::absolute(directory).map_err(at(directory))?;
    // From the top: below what only root can change, the next step is what it was.
    let mut way = PathBuf::new();
    for step in directory.components() {
        if step == Component::ParentDir {
            return Err(NotRootsAlone::GoesUp(directory.clone()));
        }
        way.push(step);
        check(&way, directory, way != *directory)?;
    }
    let mut ahead = vec![way];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if check(&path, directory, false)?.is_dir() {
                ahead.push(path);
            }
        }
    }
    Ok(())
}

fn check(path: &Path, directory: &Path, on_the_way: bool) -> Result<Metadata, NotRootsAlone> {
    let found = fs::symlink_metadata(path).map_err(at(path))?;
    let (path, directory) = (path.to_owned(), directory.to_owned());
    if found.is_symlink() {
        return Err(NotRootsAlone::Link { path, directory });
    }
    if !found.is_dir() && !found.is_file() {
        return Err(NotRootsAlone::Other(path));
    }
    if found.uid() != 0 {
        return Err(NotRootsAlone::Owner { path, directory, owner: found.uid() });
    }
    let sticky = on_the_way && found.mode() & STICKY != 0;
    let access = Access::of(&path, &found).map_err(at(&path))?;
    if !sticky && access.grants.iter().any(|one| one.may_write() && one.class != Class::User(0)) {
        let mode = found.mode() & 0o7777;
        return Err(NotRootsAlone::Writable { path, directory, mode });
    }
    Ok(found)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> NotRootsAlone + use<> {
    let path = path.to_owned();
    move |cause| NotRootsAlone::Io { path, cause }
}

fn mend(directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "give the directory to root (`chown -R root:GROUP {shown}` and `chmod -R go-w {shown}`; those above it have \
         to be root's too), or run the command as the user whom it belongs to"
    )
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn only_a_tree_of_roots_alone_passes() {
        let outside = tempfile::tempdir().unwrap();
        let directory = outside.path().join("policies");
        let (folder, file) = (directory.join("plugins"), directory.join("plugins/p"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, "x").unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(roots_alone(&directory).is_err());
            return;
        }
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for (path, mode) in [(&directory, 0o750), (&folder, 0o750), (&file, 0o640)] {
            set(path, mode);
        }
        roots_alone(&directory).unwrap();
        for path in [outside.path(), &directory, &folder, &file] {
            let mode = fs::metadata(path).unwrap().mode() & 0o777;
            set(path, mode | 0o020);
            let refused = roots_alone(&directory).unwrap_err();
            assert!(matches!(refused, NotRootsAlone::Writable { .. }), "{refused}");
            set(path, mode);
            chown(path, Some(65_534), None).unwrap();
            let refused = roots_alone(&directory).unwrap_err();
            assert!(matches!(refused, NotRootsAlone::Owner { owner: 65_534, .. }), "{refused}");
            assert!(refused.to_string().contains("chown -R root:GROUP"), "{refused}");
            chown(path, Some(0), None).unwrap();
        }
        // The sticky bit is enough above it, and not for itself.
        set(outside.path(), 0o1777);
        roots_alone(&directory).unwrap();
        set(outside.path(), 0o755);
        set(&directory, 0o1777);
        roots_alone(&directory).unwrap_err();
        set(&directory, 0o750);

        let link = outside.path().join("link");
        symlink(&directory, &link).unwrap();
        for linked in [link.clone(), link.join(""), link.join("plugins")] {
            let refused = roots_alone(&linked).unwrap_err();
            assert!(matches!(refused, NotRootsAlone::Link { .. }), "{refused}");
        }
        let refused = roots_alone(&folder.join("..")).unwrap_err();
        assert!(matches!(refused, NotRootsAlone::GoesUp(_)), "{refused}");
        symlink("p", folder.join("inner")).unwrap();
        let refused = roots_alone(&directory).unwrap_err();
        assert!(matches!(refused, NotRootsAlone::Link { .. }), "{refused}");
        roots_alone(&outside.path().join("missing")).unwrap_err();
    }
}
