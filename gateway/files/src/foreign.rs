//! Where root must not write.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::Untrusted;

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

#[cfg(test)]
mod tests {
    use super::*;

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
