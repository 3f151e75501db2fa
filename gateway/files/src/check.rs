//! Checks who may change the operator's files, and who may read files that hold secrets.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{OFlags, StatVfsMountFlags};
use zeroize::Zeroizing;

use crate::access::{Access, Class};
use crate::accounts;
use crate::error::{READ_SECRET, Untrusted, WhoMay};
use crate::write::make_directory;

/// How many symbolic links may lead to a file, as in Linux.
const MOST_LINKS: usize = 40;

/// Mode bit of a directory in which only the owner of an entry and the owner of the directory may rename and
/// remove it.
pub(crate) const STICKY: u32 = 0o1000;

/// Who besides its owner may read a file that holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretReaders {
    /// Nobody: mode 0600 or less.
    #[default]
    Owner,
    /// Its group: mode 0640 or less, as Kubernetes mounts secrets for a pod with an `fsGroup`.
    Group,
    /// Everybody: mode 0644 or less, as Kubernetes mounts secrets by default.
    Everybody,
}

/// Whom this process trusts with its files: root, its own user, and the users and groups that are added.
///
/// A file is trusted if nobody else may change it or put another one in its place. So the directories that
/// lead to it are checked too, and so are symbolic links on the way and their targets. A directory with the
/// sticky bit (as `/tmp`) may be on the way, since only its owner can replace an entry. A read-only mount
/// counts as writable by nobody. A group whose only members are root and this user counts as trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    user: u32,
    users: BTreeSet<u32>,
    groups: BTreeSet<u32>,
    /// None where no configuration says anything about it.
    secret_readers: Option<SecretReaders>,
}

/// What a path leads to.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
}

impl Trusted {
    /// Root and the user of this process. Only the owner may read secrets.
    pub fn process() -> Self {
        Self {
            user: rustix::process::geteuid().as_raw(),
            users: BTreeSet::new(),
            groups: BTreeSet::new(),
            secret_readers: None,
        }
    }

    /// Trusts these users too: they may own files.
    #[must_use]
    pub fn with_users(self, users: impl IntoIterator<Item = u32>) -> Self {
        Self { users: users.into_iter().collect(), ..self }
    }

    /// Trusts these groups too: they may write, and where they may, the files in question may have any
    /// owner.
    #[must_use]
    pub fn with_groups(self, groups: impl IntoIterator<Item = u32>) -> Self {
        Self { groups: groups.into_iter().collect(), ..self }
    }

    /// Lets others read secrets.
    #[must_use]
    pub fn with_secret_readers(self, secret_readers: SecretReaders) -> Self {
        Self { secret_readers: Some(secret_readers), ..self }
    }

    /// Checks a regular file, and returns its path without symbolic links.
    ///
    /// # Errors
    /// [`Untrusted`]: it names the file or directory that has to be corrected.
    pub fn file(&self, path: &Path) -> Result<PathBuf, Untrusted> {
        self.find_file(path).map(|found| found.path)
    }

    /// Checks a directory whose entries are used: nobody else may add a file either.
    ///
    /// # Errors
    /// As for [`file`](Self::file).
    pub fn directory(&self, path: &Path) -> Result<PathBuf, Untrusted> {
        let found = self.find(path)?;
        if !found.metadata.is_dir() {
            return Err(Untrusted::NotADirectory(found.path));
        }
        // The sticky bit does not protect against added files.
        self.writers(&found.path, path, &found.metadata, false)?;
        Ok(found.path)
    }

    /// Makes a directory (mode 0700) if it is missing, and checks it as [`directory`](Self::directory) does.
    ///
    /// # Errors
    /// As for [`file`](Self::file), and if it cannot be made.
    pub fn make_directory(&self, path: &Path) -> Result<PathBuf, Untrusted> {
        make_directory(path).map_err(Untrusted::io("make the directory", path))?;
        self.directory(path)
    }

    /// Reads a file of at most `largest` bytes.
    ///
    /// # Errors
    /// As for [`file`](Self::file), and if it is larger or cannot be read.
    pub fn read(&self, path: &Path, largest: u64) -> Result<Vec<u8>, Untrusted> {
        let found = self.find_file(path)?;
        let mut content = Vec::new();
        open(&found, largest, "read")?
            .take(largest)
            .read_to_end(&mut content)
            .map_err(Untrusted::io("read", path))?;
        Ok(content)
    }

    /// Reads a file of at most `largest` bytes that holds a secret.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and [`Untrusted::Readable`].
    pub fn read_secret(&self, path: &Path, largest: u64) -> Result<Zeroizing<Vec<u8>>, Untrusted> {
        let found = self.find_file(path)?;
        self.readers(&found)?;
        let length = usize::try_from(found.metadata.len()).unwrap_or(0);
        // Large enough from the start: a buffer that grows leaves copies behind.
        let mut content = Zeroizing::new(Vec::with_capacity(length + 1));
        open(&found, largest, READ_SECRET)?
            .take(length as u64)
            .read_to_end(&mut content)
            .map_err(Untrusted::io("read", path))?;
        Ok(content)
    }

    /// Checks a file that holds a secret.
    ///
    /// # Errors
    /// As for [`file`](Self::file), and [`Untrusted::Readable`].
    pub fn secret(&self, path: &Path) -> Result<PathBuf, Untrusted> {
        let found = self.find_file(path)?;
        self.readers(&found)?;
        Ok(found.path)
    }

    /// Makes sure that `path` is not a symbolic link, so that nothing is written through one. Its directory
    /// has to be a [checked](Self::directory) one; `path` itself may be missing.
    ///
    /// # Errors
    /// [`Untrusted::Link`].
    pub fn no_link(&self, path: &Path) -> Result<(), Untrusted> {
        // With a trailing slash, the system would follow a link.
        let path: &Path = &path.components().collect::<PathBuf>();
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => Err(Untrusted::Link(path.to_owned())),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Untrusted::io("examine", path)(error)),
        }
    }

    pub(crate) fn find_file(&self, path: &Path) -> Result<Found, Untrusted> {
        let found = self.find(path)?;
        // Opening a pipe would wait for a writer.
        if found.metadata.is_file() { Ok(found) } else { Err(Untrusted::NotAFile(found.path)) }
    }

    /// Follows the path `asked`, and checks every step on the way.
    fn find(&self, asked: &Path) -> Result<Found, Untrusted> {
        let absolute = std::path::absolute(asked).map_err(Untrusted::io("find", asked))?;
        let mut found = self.enter(PathBuf::from("/"), asked, None)?;
        let mut ahead: VecDeque<OsString> = parts(&absolute).collect();
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                let up = found.path.parent().unwrap_or(Path::new("/")).to_owned();
                found = self.enter(up, asked, None)?;
                continue;
            }
            let next = self.enter(found.path.join(part), asked, Some(&found.metadata))?;
            if !next.metadata.is_symlink() {
                found = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                let cause = rustix::io::Errno::LOOP.into();
                return Err(Untrusted::Io { action: "find", path: asked.to_owned(), cause });
            }
            let target = fs::read_link(&next.path).map_err(Untrusted::io("read", &next.path))?;
            if target.is_absolute() {
                found = self.enter(PathBuf::from("/"), asked, None)?;
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(part);
            }
        }
        Ok(found)
    }

    /// Checks one step of the way.
    fn enter(
        &self,
        path: PathBuf,
        asked: &Path,
        parent: Option<&Metadata>,
    ) -> Result<Found, Untrusted> {
        let metadata = fs::symlink_metadata(&path).map_err(Untrusted::io("find", &path))?;
        self.owner(&path, asked, &metadata, parent)?;
        // The permission bits of a link mean nothing.
        if !metadata.is_symlink() {
            self.writers(&path, asked, &metadata, true)?;
        }
        Ok(Found { path, metadata })
    }

    fn owner(
        &self,
        path: &Path,
        asked: &Path,
        metadata: &Metadata,
        parent: Option<&Metadata>,
    ) -> Result<(), Untrusted> {
        let owner = metadata.uid();
        // An entry that a trusted group may replace may have any owner.
        let by_group = |parent: &Metadata| {
            let group = parent.gid();
            parent.mode() & 0o020 != 0 && metadata.gid() == group && self.groups.contains(&group)
        };
        if self.trusts(owner) || parent.is_some_and(by_group) || is_read_only(path) {
            return Ok(());
        }
        Err(Untrusted::Owner { path: path.to_owned(), asked: asked.to_owned(), owner })
    }

    fn writers(
        &self,
        path: &Path,
        asked: &Path,
        metadata: &Metadata,
        on_the_way: bool,
    ) -> Result<(), Untrusted> {
        let directory = metadata.is_dir();
        if on_the_way && directory && metadata.mode() & STICKY != 0 {
            return Ok(());
        }
        let access = Access::of(path, metadata).map_err(Untrusted::io("examine", path))?;
        let by =
            access.grants.iter().filter(|grant| grant.may_write()).find_map(|grant| {
                match grant.class {
                    Class::User(id) if self.trusts(id) => None,
                    Class::User(id) => Some(WhoMay::User(id)),
                    Class::Group(id) if self.groups.contains(&id) => None,
                    Class::Group(id) if accounts::is_private(id, self.user) => None,
                    Class::Group(id) => Some(WhoMay::Group(id)),
                    Class::Others => Some(WhoMay::Everybody),
                }
            });
        match by {
            Some(by) if !is_read_only(path) => Err(Untrusted::Writable {
                path: path.to_owned(),
                asked: asked.to_owned(),
                mode: metadata.mode() & 0o7777,
                directory,
                by,
                by_list: access.by_list,
            }),
            _ => Ok(()),
        }
    }

    fn readers(&self, found: &Found) -> Result<(), Untrusted> {
        let Found { path, metadata } = found;
        let access = Access::of(path, metadata).map_err(Untrusted::io("examine", path))?;
        let readers = self.secret_readers.unwrap_or_default();
        // Others are last in a list: if they may read too, that is what matters.
        let by = access.grants.iter().rev().find_map(|grant| match grant.class {
            // systemd gives credentials to a unit's user by such an entry.
            Class::User(id) if self.trusts(id) => None,
            Class::User(_) | Class::Group(_) | Class::Others if !grant.may_anything() => None,
            Class::User(id) if readers == SecretReaders::Owner => Some(WhoMay::User(id)),
            Class::Group(id) if readers == SecretReaders::Owner => Some(WhoMay::Group(id)),
            Class::User(_) | Class::Group(_) => None,
            Class::Others if readers == SecretReaders::Everybody => None,
            Class::Others => Some(WhoMay::Everybody),
        });
        match by {
            Some(by) => Err(Untrusted::Readable {
                path: path.clone(),
                mode: metadata.mode() & 0o7777,
                by,
                by_list: access.by_list,
                settable: self.secret_readers.is_some(),
            }),
            None => Ok(()),
        }
    }

    fn trusts(&self, user: u32) -> bool {
        user == 0 || user == self.user || self.users.contains(&user)
    }
}

/// Opens what was found, unless it is too large.
fn open(found: &Found, largest: u64, action: &'static str) -> Result<File, Untrusted> {
    let length = found.metadata.len();
    if length > largest {
        return Err(Untrusted::TooLarge { path: found.path.clone(), length, largest });
    }
    // Since the check, only trusted users can have put anything else there.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&found.path)
        .map_err(Untrusted::io(action, &found.path))
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// Whether it is on a read-only mount.
fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests;
