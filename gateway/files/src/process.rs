//! Who this process is to the files: what to say when the system keeps it from one, and where root must not write.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::accounts;
use crate::error::Untrusted;

/// Refuses a state directory of another user to root. Root could write there, but what it wrote would be root's,
/// and the gateway, which runs as that user, could not read it again. A directory that is missing is nobody's.
///
/// # Errors
/// [`Untrusted::Foreign`], which says as whom to run the command.
pub fn refuse_root_in_foreign(directory: &Path) -> Result<(), Untrusted> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    match fs::metadata(directory) {
        Ok(found) if found.uid() != 0 => {
            Err(Untrusted::Foreign { path: directory.to_owned(), owner: found.uid() })
        }
        // The caller that opens it reports other errors.
        _ => Ok(()),
    }
}

/// What the system said about a file; if it is that this process may not, also who it is and what to run.
pub fn explained(path: &Path, cause: &io::Error) -> String {
    match denied(path, cause) {
        Some((user, culprit)) => {
            let group = accounts::group_name(rustix::process::getegid().as_raw());
            let recursive = if culprit == path && path.is_dir() { "--recursive " } else { "" };
            let shown = culprit.display();
            format!(
                "{cause}: this process is the user {user}, who may not read {shown}; as root, run `chgrp \
                 {recursive}{group} {shown}` and `chmod {recursive}g+rX {shown}`"
            )
        }
        None => cause.to_string(),
    }
}

/// The same about a file that holds a secret, which only its owner may read.
pub(crate) fn explained_secret(path: &Path, cause: &io::Error) -> String {
    match denied(path, cause) {
        Some((user, culprit)) if culprit == path => format!(
            "{cause}: this process is the user {user}, and a secret is read by its owner only; as root, run \
             `chown {user} {}`",
            path.display()
        ),
        _ => explained(path, cause),
    }
}

/// How root runs a command as a user.
pub(crate) fn as_user(id: u32) -> String {
    match accounts::name_of_user(id) {
        Some(name) => format!("runuser -u {name} -- chancery …"),
        None => format!("setpriv --reuid {id} --regid {id} --clear-groups chancery …"),
    }
}

/// Who this process is and which file or directory on the way it may not read, if that is what the system says.
fn denied<'a>(path: &'a Path, cause: &io::Error) -> Option<(String, &'a Path)> {
    if cause.kind() != io::ErrorKind::PermissionDenied {
        return None;
    }
    let user = accounts::user_name(rustix::process::geteuid().as_raw());
    let mut culprit = path;
    // What cannot be looked at is in a directory that may not be entered.
    while fs::symlink_metadata(culprit).is_err_and(|error| error.kind() == cause.kind())
        && let Some(parent) = culprit.parent()
    {
        culprit = parent;
    }
    Some((user, culprit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_denies_is_told_with_who_and_what_to_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policies");
        fs::create_dir(&path).unwrap();
        let denied = io::Error::from_raw_os_error(13);
        let (user, shown) =
            (accounts::user_name(rustix::process::geteuid().as_raw()), path.display().to_string());
        let told = explained(&path, &denied);
        assert!(told.contains(&format!("the user {user}, who may not read {shown}")), "{told}");
        assert!(told.contains("chgrp --recursive ") && told.contains("g+rX"), "{told}");
        let told = explained_secret(&path, &denied);
        assert!(told.contains(&format!("`chown {user} {shown}`")), "{told}");
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(explained(&path, &missing), missing.to_string());
    }

    #[test]
    fn a_user_is_named_as_runuser_wants_it() {
        assert_eq!(as_user(0), "runuser -u root -- chancery …");
        assert!(as_user(4_000_000_000).starts_with("setpriv --reuid 4000000000 "));
    }

    #[test]
    fn root_is_kept_out_of_the_state_of_another_user() {
        let directory = tempfile::tempdir().unwrap();
        refuse_root_in_foreign(directory.path()).unwrap();
        refuse_root_in_foreign(&directory.path().join("missing")).unwrap();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(directory.path(), Some(54_321), None).unwrap();
        let refused = refuse_root_in_foreign(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("`setpriv --reuid 54321 "), "{refused}");
        assert!(refused.contains(&directory.path().display().to_string()), "{refused}");
    }
}
