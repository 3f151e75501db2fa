//! Several files that are one thing, as a key and its certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::sync_parent;
use crate::draft::Draft;

/// A file of several could not be put in its place: all are as they were.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {cause}", path.display())]
pub struct NotKept {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// What was in the place of a file, under another name until all are in theirs.
struct Before {
    path: PathBuf,
    /// None if nothing was there.
    aside: Option<PathBuf>,
}

/// Puts files in their places together: all of them, or none. Each is on the disk before the first takes its place,
/// and what was there keeps a name (with `.old` behind it) until the last has. After an interruption one
/// finds the old files and the new ones.
///
/// # Errors
/// [`NotKept`]; what was in their places is there.
pub fn keep_together(drafts: impl IntoIterator<Item = Draft>) -> Result<(), NotKept> {
    let drafts: Vec<Draft> = drafts.into_iter().collect();
    for draft in &drafts {
        draft.sync().map_err(of(draft.path()))?;
    }
    let mut before: Vec<Before> = vec![];
    for draft in &drafts {
        match set_aside(draft) {
            Ok(aside) => before.push(Before { path: draft.path().to_owned(), aside }),
            Err(cause) => {
                forget(&before);
                return Err(NotKept { path: draft.path().to_owned(), cause });
            }
        }
    }
    for (moved, draft) in drafts.into_iter().enumerate() {
        let path = draft.path().to_owned();
        if let Err(cause) = draft.move_in() {
            let (back, untouched) = before.split_at(moved);
            back.iter().for_each(Before::put_back);
            forget(untouched);
            return Err(NotKept { path, cause });
        }
    }
    for one in &before {
        sync_parent(&one.path).map_err(of(&one.path))?;
    }
    forget(&before);
    Ok(())
}

impl Before {
    fn put_back(&self) {
        // What fails here has its old content beside.
        let _ = match &self.aside {
            Some(aside) => fs::rename(aside, &self.path),
            None => fs::remove_file(&self.path),
        };
    }
}

fn of(path: &Path) -> impl FnOnce(io::Error) -> NotKept {
    let path = path.to_owned();
    move |cause| NotKept { path, cause }
}

/// Gives what is in the place of a file a second name.
fn set_aside(draft: &Draft) -> io::Result<Option<PathBuf>> {
    if fs::symlink_metadata(draft.path())
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        return Ok(None);
    }
    let aside = draft.beside().with_extension("old");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A file system without hard links gets a copy, with the same mode.
    fs::hard_link(draft.path(), &aside).or_else(|_| fs::copy(draft.path(), &aside).map(drop))?;
    Ok(Some(aside))
}

fn forget(before: &[Before]) {
    for aside in before.iter().filter_map(|one| one.aside.as_ref()) {
        // One that stays costs room and nothing else.
        let _ = fs::remove_file(aside);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::directory::Readers;

    fn draft(path: &Path, content: &str) -> Draft {
        let mut draft = Draft::new(path, Readers::Owner).unwrap();
        draft.write_all(content.as_bytes()).unwrap();
        draft
    }

    fn entries(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn both_are_there_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (key, cert) = (directory.path().join("key"), directory.path().join("cert"));
        keep_together([draft(&key, "1"), draft(&cert, "1")]).unwrap();
        keep_together([draft(&key, "2"), draft(&cert, "2")]).unwrap();
        assert_eq!((fs::read(&key).unwrap(), fs::read(&cert).unwrap()), (b"2".into(), b"2".into()));
        assert_eq!(entries(directory.path()), 2);
    }

    #[test]
    fn if_the_second_cannot_take_its_place_the_first_is_as_it_was() {
        for old in [Some("old"), None] {
            let directory = tempfile::tempdir().unwrap();
            let (key, cert) = (directory.path().join("key"), directory.path().join("cert"));
            if let Some(old) = old {
                fs::write(&key, old).unwrap();
            }
            let drafts = [draft(&key, "new"), draft(&cert, "new")];
            // In the meantime somebody makes a directory of that name.
            fs::create_dir(&cert).unwrap();
            let refused = keep_together(drafts).unwrap_err();
            assert_eq!(refused.path, cert);
            assert_eq!(fs::read(&key).ok(), old.map(|old| old.as_bytes().to_vec()));
            assert_eq!(entries(directory.path()), 1 + usize::from(old.is_some()));
        }
    }

    #[test]
    fn a_directory_is_seen_before_the_work_begins() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Draft::new(directory.path(), Readers::Owner).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
    }
}
