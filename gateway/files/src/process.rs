//! Who this process is to the files: what to say when the system keeps it from one, and how root acts as another user.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::accounts;

/// Does something as another user, with the group that the user has, in a thread that ends with it. Only root can. The
/// thread has no rights of root, so it is safe with files that the user could have put anything in the place of.
///
/// # Errors
/// What the system said when the thread was to become that user.
pub fn as_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let group = accounts::group_of_user(id).unwrap_or(id);
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(group));
    thread::scope(|scope| {
        let work = || {
            // For this thread only: `setresuid` of the C library would be for all of them.
            set_thread_groups(&[])?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)?;
            Ok(work())
        };
        let done = thread::Builder::new().name(format!("user-{id}")).spawn_scoped(scope, work)?;
        done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What the system said about a file; if it is that this process may not, also who it is and what to run.
pub fn explained(path: &Path, cause: &io::Error) -> String {
    let Some(Denied { user, culprit, wanted }) = denied(path, cause) else {
        return cause.to_string();
    };
    let shown = culprit.display();
    match wanted {
        Wanted::Read => {
            let group = accounts::group_name(rustix::process::getegid().as_raw());
            let recursive = if culprit == path && path.is_dir() { "--recursive " } else { "" };
            format!(
                "{cause}: this process is the user {user}, who may not read {shown}; as root, run `chgrp \
                 {recursive}{group} {shown}` and `chmod {recursive}g+rX {shown}`"
            )
        }
        Wanted::Write { owner } => {
            let owner = accounts::user_name(owner);
            format!(
                "{cause}: this process is the user {user}, who may not write to {shown}, which belongs to the \
                 user {owner}; run the command as {owner}, or, if the user {user} is meant to write there, run \
                 `chown {user} {shown}` as root"
            )
        }
    }
}

/// The same about a file that holds a secret, which only its owner may read.
pub(crate) fn explained_secret(path: &Path, cause: &io::Error) -> String {
    match denied(path, cause) {
        Some(Denied { user, culprit, wanted: Wanted::Read }) if culprit == path => format!(
            "{cause}: this process is the user {user}, and a secret is read by its owner only; as root, run \
             `chown {user} {}`",
            path.display()
        ),
        _ => explained(path, cause),
    }
}

/// How root runs a command as a user.
pub(crate) fn how_as_user(id: u32) -> String {
    match accounts::name_of_user(id) {
        Some(name) => format!("runuser -u {name} -- chancery …"),
        None => format!("setpriv --reuid {id} --regid {id} --clear-groups chancery …"),
    }
}

/// What the system keeps this process from.
struct Denied<'a> {
    /// Who this process is.
    user: String,
    /// The file, or the directory on the way to it or that it is in.
    culprit: &'a Path,
    wanted: Wanted,
}

/// What this process may not do with a file or directory.
enum Wanted {
    /// To read it, or to enter it.
    Read,
    /// To write to it, or to add and replace what is in it.
    Write { owner: u32 },
}

/// Whom the system keeps from what, if that is what it says.
fn denied<'a>(path: &'a Path, cause: &io::Error) -> Option<Denied<'a>> {
    if cause.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let user = accounts::user_name(rustix::process::geteuid().as_raw());
    let mut culprit = path;
    let found = loop {
        match (fs::symlink_metadata(culprit), culprit.parent()) {
            (Ok(found), _) => break Some(found),
            // What cannot be looked at is in a directory that may not be entered. What is not there should have been
            // made.
            (Err(error), Some(parent))
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
                ) =>
            {
                culprit = parent;
            }
            _ => break None,
        }
    };
    let reads =
        |directory| if directory { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
    let wanted = match found {
        Some(found) if may(culprit, reads(found.is_dir())) => {
            // A file is replaced by another one in its directory.
            let directory = culprit.parent().filter(|_| !found.is_dir());
            match directory.filter(|directory| !may(directory, Access::WRITE_OK)) {
                Some(directory) => {
                    culprit = directory;
                    Wanted::Write { owner: fs::metadata(directory).map_or(0, |found| found.uid()) }
                }
                None => Wanted::Write { owner: found.uid() },
            }
        }
        _ => Wanted::Read,
    };
    Some(Denied { user, culprit, wanted })
}

/// Whether this process may.
fn may(path: &Path, access: Access) -> bool {
    // A file without a directory is in the one that this process is in.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOBODY: u32 = 65_534;

    /// What is told of doing something as somebody who may not.
    fn told(path: &Path, attempt: impl Fn(&Path) -> io::Result<()> + Sync) -> String {
        as_user(NOBODY, || explained(path, &attempt(path).unwrap_err())).unwrap()
    }

    fn read(path: &Path) -> io::Result<()> {
        fs::read(path).map(drop)
    }

    fn write(path: &Path) -> io::Result<()> {
        crate::replace(path, b"x", crate::Readers::Owner)
    }

    #[test]
    fn what_the_system_denies_is_told_with_who_and_what_to_run() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("policies");
        let (path, missing) = (folder.join("a.toml"), folder.join("b.toml"));
        fs::create_dir(&folder).unwrap();
        fs::write(&path, "").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(directory.path(), 0o755);
        let user = accounts::user_name(NOBODY);

        mode(&folder, 0o700);
        for said in [told(&path, read), told(&path, write), told(&missing, write)] {
            assert!(said.contains(&format!("may not read {}; as", folder.display())), "{said}");
            assert!(said.contains("`chgrp ") && said.contains("`chmod g+rX "), "{said}");
        }
        mode(&folder, 0o755);
        for said in [told(&path, write), told(&missing, write)] {
            let expected = format!(
                "the user {user}, who may not write to {}, which belongs to the user root; run the command as root",
                folder.display()
            );
            assert!(said.contains(&expected) && !said.contains("chgrp"), "{said}");
        }
        mode(&path, 0o600);
        let said = told(&path, read);
        assert!(said.contains(&format!("may not read {}; as", path.display())), "{said}");
        let denied = io::Error::from_raw_os_error(13);
        let said = as_user(NOBODY, || explained_secret(&path, &denied)).unwrap();
        assert!(said.contains(&format!("`chown {user} {}`", path.display())), "{said}");
        // Only the file itself is written to.
        mode(&path, 0o644);
        mode(&folder, 0o777);
        let append = |path: &Path| fs::OpenOptions::new().append(true).open(path).map(drop);
        let said = told(&path, append);
        assert!(said.contains(&format!("may not write to {}, which", path.display())), "{said}");
        let absent = io::Error::from_raw_os_error(2);
        assert_eq!(explained(&path, &absent), absent.to_string());
    }

    #[test]
    fn a_thread_is_another_user_and_the_others_are_not() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        crate::create(&path, b"x", crate::Readers::Owner).unwrap();
        let there =
            as_user(NOBODY, || (rustix::process::geteuid().as_raw(), fs::read(&path).is_ok()));
        assert_eq!(there.unwrap(), (NOBODY, false));
        assert!(rustix::process::geteuid().is_root());
        assert!(fs::read(&path).is_ok());
    }

    #[test]
    fn a_user_is_named_as_runuser_wants_it() {
        assert_eq!(how_as_user(0), "runuser -u root -- chancery …");
        assert!(how_as_user(4_000_000_000).starts_with("setpriv --reuid 4000000000 "));
    }
}
