//! Finds an earlier set, and puts it back into the directory of policies.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chancery_files::{Readers, Trusted, is_there, make_directory_as_parent};
use chancery_identity::is_plain;
use serde::Serialize;

use super::error::LoadError;
use super::history::{History, TakenSet, digest};
use crate::binding::{Digest, FileError, Files};

/// How often a file of one name is set aside before somebody has to tidy up.
const MOST_ASIDE: u32 = 10_000;

/// What putting a set back did to the directory of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Number of the set.
    pub number: u64,
    /// Its digest.
    pub digest: Digest,
    /// Files that were written, by their names in the directory.
    pub written: Vec<PathBuf>,
    /// Files that were not the set's, under the names that they have now: no document any more, and
    /// nothing is lost.
    pub set_aside: Vec<PathBuf>,
}

/// A set that was in force, with its files.
#[derive(Debug)]
pub struct EarlierSet {
    pub(crate) set: TakenSet,
    files: Files,
    history: History,
}

impl EarlierSet {
    /// Makes the directory of policies what it was. Documents that were not there then are set aside, and so is
    /// everything whose contents would be lost. Who may read the directory may read what is written.
    ///
    /// # Errors
    /// If a file cannot be written, or somebody who is not trusted may change a directory that one is written to.
    pub fn put_back(&self, policies: &Path, trusted: &Trusted) -> Result<Restored, LoadError> {
        let mut restored = Restored {
            number: self.set.number,
            digest: self.set.digest,
            written: Vec::new(),
            set_aside: Vec::new(),
        };
        // Also for a set without files: what is in the directory is set aside.
        check_nearest(trusted, policies)?;
        // Documents last: what they name is there when they are.
        let (documents, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(name, _)| is_document(name));
        for (name, contents) in others.into_iter().chain(documents) {
            self.put_one_back(policies, trusted, name, contents, &mut restored)?;
        }
        for entry in fs::read_dir(policies).map_err(FileError::of("list", policies))? {
            let name = PathBuf::from(entry.map_err(FileError::of("list", policies))?.file_name());
            if is_document(&name) && !self.files.contains_key(&name) {
                restored.set_aside.push(set_aside(policies, &name)?);
            }
        }
        Ok(restored)
    }

    fn put_one_back(
        &self,
        policies: &Path,
        trusted: &Trusted,
        name: &Path,
        contents: &[u8],
        restored: &mut Restored,
    ) -> Result<(), LoadError> {
        let path = policies.join(name);
        if let Some(folder) = path.parent() {
            check_nearest(trusted, folder)?;
            make_directory_as_parent(folder).map_err(FileError::of("create", folder))?;
            trusted.directory(folder)?;
        }
        match fs::read(&path) {
            Ok(now) if now == contents => return Ok(()),
            Ok(now) if !self.history.object(&Digest::of(&now)).exists() => {
                restored.set_aside.push(set_aside(policies, name)?);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::of("read", &path)(error).into()),
        }
        chancery_files::replace(&path, contents, Readers::AsDirectory)
            .map_err(FileError::of("write", &path))?;
        restored.written.push(name.to_owned());
        Ok(())
    }
}

/// Checks a directory, or the nearest one above it that is there, before anything is made in it.
fn check_nearest(trusted: &Trusted, folder: &Path) -> Result<(), LoadError> {
    let there = folder.ancestors().find(|above| is_there(above));
    trusted.directory(there.unwrap_or(Path::new(".")))?;
    Ok(())
}

fn is_document(name: &Path) -> bool {
    name.components().count() == 1 && name.extension().is_some_and(|end| end == "toml")
}

impl History {
    /// The set `number`, or the one before the one in force, with its files.
    pub(crate) fn earlier(&self, number: Option<u64>) -> Result<EarlierSet, LoadError> {
        let sets = self.sets()?;
        let found = match number {
            Some(number) => sets.iter().find(|set| set.number == number),
            None => before_newest(&sets),
        };
        let set = found.cloned().ok_or_else(|| LoadError::NoSuchSet {
            asked: number,
            kept: sets.iter().map(|set| set.number).collect(),
        })?;
        let mut files = Files::new();
        for (name, of) in &set.files {
            let object = self.object(of);
            let contents = fs::read(&object).map_err(FileError::of("read", &object))?;
            if Digest::of(&contents) != *of {
                let reason = "it is not what it was when it was kept";
                return Err(LoadError::Kept { path: object, reason });
            }
            files.insert(name.clone(), contents.into());
        }
        self.check_whole(&set, &files)?;
        Ok(EarlierSet { set, files, history: self.clone() })
    }

    /// Refuses a set that is not what its digest says, or whose names do not show what they are.
    fn check_whole(&self, set: &TakenSet, files: &Files) -> Result<(), LoadError> {
        let shows = |name: &PathBuf| name.to_str().is_some_and(|name| name.chars().all(is_plain));
        let reason = if digest(files) != set.digest {
            "the history was changed, since its files do not have the digest of the set"
        } else if !files.keys().all(shows) {
            "a name in it has characters that are not seen"
        } else {
            return Ok(());
        };
        let path = self.set_file(set.number);
        Err(LoadError::Kept { path, reason })
    }
}

/// The set before the one in force. To go back makes a set of its own, so what counts is the one that was put back: to
/// go back twice is to go back two steps, and not to what was left. A set that somebody made by hand counts by itself,
/// also if there was the same before: who deletes a binding and goes back wants it back.
fn before_newest(sets: &[TakenSet]) -> Option<&TakenSet> {
    let mut from = sets.first()?;
    // Each was put back from an earlier one, so this has an end.
    while let Some(number) = from.put_back.filter(|number| *number < from.number) {
        let Some(found) = sets.iter().find(|set| set.number == number) else {
            return sets.iter().find(|set| set.number < number);
        };
        from = found;
    }
    sets.iter().find(|set| set.number < from.number)
}

/// Gives a file a name that no document has; what it is called now.
fn set_aside(policies: &Path, name: &Path) -> Result<PathBuf, LoadError> {
    let path = policies.join(name);
    let aside = (1..=MOST_ASIDE)
        .map(|n| PathBuf::from(format!("{}.aside-{n}", name.display())))
        .find(|aside| !is_there(&policies.join(aside)))
        .ok_or_else(|| FileError::of("set aside", &path)(ErrorKind::AlreadyExists.into()))?;
    fs::rename(&path, policies.join(&aside)).map_err(FileError::of("rename", &path))?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
