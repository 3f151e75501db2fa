//! What a new file has to do with the directory that it is in: who may read it, and when its name is on the disk.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: mode 0600.
    Owner,
    /// Everybody: mode 0644.
    Everybody,
    /// Its owner, and the group and the others who may read in the directory that it is in. Its group is that of the
    /// directory.
    AsDirectory,
}

impl Readers {
    pub(crate) fn mode(self) -> u32 {
        match self {
            Self::Owner | Self::AsDirectory => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// Gives a new file or directory the group of the directory that it is in, and those of its permission bits that are in
/// `bits`. Where this process may not give it the group, the group gets nothing.
pub(crate) fn give_as_parent(path: &Path, new: &File, bits: u32) -> io::Result<()> {
    let above = fs::metadata(parent(path).unwrap_or(Path::new(".")))?;
    let in_group = new.metadata()?.gid() == above.gid()
        || std::os::unix::fs::fchown(new, None, Some(above.gid())).is_ok();
    let bits = if in_group { bits } else { bits & 0o707 };
    new.set_permissions(Permissions::from_mode(above.mode() & bits | bits & 0o600))
}

pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path).unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}
