//! Which sets of policies were in force, with every file of theirs, so that an earlier one can be put
//! back.
//!
//! Each file is kept once, under its digest (`objects/`); a set is a list of names and digests
//! (`sets/`). The last [`KEPT`] sets are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use chancery_files::Trusted;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::LoadError;
use crate::binding::{Digest, FileError, Files, replace};
use crate::component::Versions;

/// How many sets are kept.
pub(super) const KEPT: usize = 32;

/// A set of policies that came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenSet {
    /// Counts up from 1 in each gateway.
    pub number: u64,
    /// When it came into force.
    pub taken: Timestamp,
    /// Over the names and contents of all of its files: the same files have the same digest.
    pub digest: Digest,
    /// Each binding with the name and version of its plugin.
    pub(crate) bindings: Versions,
    /// Each file with the digest of its contents.
    pub(crate) files: BTreeMap<PathBuf, Digest>,
    /// The number of the set that was put back, if it came into force so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) put_back: Option<u64>,
}

/// The set that was put back last, until it comes into force.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutBack {
    number: u64,
    digest: Digest,
}

impl TakenSet {
    /// Whether all of its files are in the directory of policies.
    fn is_within_directory(&self) -> bool {
        let is_within = |name: &PathBuf| {
            let mut parts = name.components();
            name.file_name().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        self.files.keys().all(is_within)
    }

    /// Each binding with its plugin, as `NAME VERSION`.
    pub fn bindings(&self) -> impl Iterator<Item = (&str, String)> {
        self.bindings.iter().map(|(name, plugin)| (name.as_str(), plugin.to_string()))
    }
}

/// The digest of a set with these files.
pub(crate) fn digest(files: &Files) -> Digest {
    let lines = files.iter().map(|(name, contents)| {
        format!("{}\0{}\n", name.to_string_lossy().len(), name.display())
            + &Digest::of(contents).to_string()
    });
    Digest::of(lines.collect::<Vec<_>>().concat().as_bytes())
}

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct History {
    directory: PathBuf,
}

impl History {
    /// Opens it, making it if need be.
    pub(crate) fn open(directory: &Path, trusted: &Trusted) -> Result<Self, LoadError> {
        for part in ["objects", "sets"] {
            trusted.make_directory(&directory.join(part))?;
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// The sets, the newest first.
    pub(crate) fn sets(&self) -> Result<Vec<TakenSet>, LoadError> {
        let folder = self.directory.join("sets");
        let mut sets = Vec::new();
        for entry in fs::read_dir(&folder).map_err(FileError::of("list", &folder))? {
            let path = entry.map_err(FileError::of("list", &folder))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(FileError::of("read", &path))?;
            match serde_json::from_slice::<TakenSet>(&text) {
                Ok(set) if set.is_within_directory() => sets.push(set),
                Ok(_) => {
                    let path = path.display();
                    tracing::warn!(%path, "a past set of policies names files elsewhere, and does not count");
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a past set of policies is not readable");
                }
            }
        }
        sets.sort_by_key(|set| std::cmp::Reverse(set.number));
        Ok(sets)
    }

    /// Keeps a set that has come into force, unless it is the newest one already.
    pub(crate) fn keep(
        &self,
        files: &Files,
        bindings: &Versions,
        now: Timestamp,
    ) -> Result<TakenSet, LoadError> {
        let digest = digest(files);
        let mut sets = self.sets()?;
        let put_back = self.take_put_back(&digest)?;
        if let Some(newest) = sets.first()
            && newest.digest == digest
        {
            return Ok(newest.clone());
        }
        let number = sets.first().map_or(0, |newest| newest.number) + 1;
        let mut names = BTreeMap::new();
        for (name, contents) in files {
            let of = Digest::of(contents);
            let object = self.object(&of);
            if !object.exists() {
                replace(&object, contents)?;
            }
            names.insert(name.clone(), of);
        }
        let bindings = bindings.clone();
        let set = TakenSet { number, taken: now, digest, bindings, files: names, put_back };
        let path = self.set_file(number);
        let text = serde_json::to_vec_pretty(&set)
            .map_err(|error| FileError::of("write", &path)(error.into()))?;
        replace(&path, &text)?;
        sets.insert(0, set.clone());
        self.forget_beyond(&sets)?;
        Ok(set)
    }

    /// The number of the set that was put back, if this is it. Another one was made by hand, whatever was put back
    /// before.
    fn take_put_back(&self, digest: &Digest) -> Result<Option<u64>, LoadError> {
        let path = self.put_back_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::of("read", &path)(error).into()),
        };
        fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
        let put_back = serde_json::from_slice::<PutBack>(&text).ok();
        Ok(put_back.filter(|set| set.digest == *digest).map(|set| set.number))
    }

    /// Remembers that a set was put back, for when it comes into force.
    pub(crate) fn mark_put_back(&self, set: &TakenSet) -> Result<(), LoadError> {
        let path = self.put_back_file();
        let put_back = serde_json::to_vec(&PutBack { number: set.number, digest: set.digest })
            .map_err(|error| FileError::of("write", &path)(error.into()))?;
        Ok(replace(&path, &put_back)?)
    }

    fn put_back_file(&self) -> PathBuf {
        self.directory.join("put-back.json")
    }

    /// Removes the oldest sets, and the files that only they had.
    fn forget_beyond(&self, sets: &[TakenSet]) -> Result<(), LoadError> {
        let (kept, old) = sets.split_at(sets.len().min(KEPT));
        if old.is_empty() {
            return Ok(());
        }
        for set in old {
            let path = self.set_file(set.number);
            fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
        }
        let used: BTreeSet<_> =
            kept.iter().flat_map(|set| set.files.values()).map(|of| self.object(of)).collect();
        let folder = self.directory.join("objects");
        for entry in fs::read_dir(&folder).map_err(FileError::of("list", &folder))? {
            let path = entry.map_err(FileError::of("list", &folder))?.path();
            if !used.contains(&path) {
                fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The file that lists the set of this number.
    pub(super) fn set_file(&self, number: u64) -> PathBuf {
        self.directory.join(format!("sets/{number:08}.json"))
    }

    /// The file that has the contents with this digest.
    pub(super) fn object(&self, of: &Digest) -> PathBuf {
        self.directory.join("objects").join(of.to_string().replace(':', "-"))
    }
}
