//! Which sets of policies were in force, with every file of theirs, so that an earlier one can be put
//! back.
//!
//! Each file is kept once, under its digest (`objects/`); a set is a list of names and digests
//! (`sets/`). The last [`KEPT`] sets are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use chancery_files::{Readers, Trusted, is_there, make_directory_as_parent};
use chancery_identity::is_plain;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admission::Versions;
use crate::artifact::replace;
use crate::sources::Files;
use crate::{Digest, LoadError};

/// How often a file of one name is set aside before somebody has to tidy up.
const MOST_ASIDE: u32 = 10_000;
/// How many sets are kept.
const KEPT: usize = 32;

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
        for entry in fs::read_dir(policies).map_err(LoadError::io("list", policies))? {
            let name = PathBuf::from(entry.map_err(LoadError::io("list", policies))?.file_name());
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
            make_directory_as_parent(folder).map_err(LoadError::io("create", folder))?;
            trusted.directory(folder)?;
        }
        match fs::read(&path) {
            Ok(now) if now == contents => return Ok(()),
            Ok(now) if !self.history.object(&Digest::of(&now)).exists() => {
                restored.set_aside.push(set_aside(policies, name)?);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(LoadError::io("read", &path)(error)),
        }
        chancery_files::replace(&path, contents, Readers::AsDirectory)
            .map_err(LoadError::io("write", &path))?;
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
        for entry in fs::read_dir(&folder).map_err(LoadError::io("list", &folder))? {
            let path = entry.map_err(LoadError::io("list", &folder))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(LoadError::io("read", &path))?;
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
        let path = self.directory.join(format!("sets/{number:08}.json"));
        let text = serde_json::to_vec_pretty(&set)
            .map_err(|error| LoadError::io("write", &path)(error.into()))?;
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
            Err(error) => return Err(LoadError::io("read", &path)(error)),
        };
        fs::remove_file(&path).map_err(LoadError::io("remove", &path))?;
        let put_back = serde_json::from_slice::<PutBack>(&text).ok();
        Ok(put_back.filter(|set| set.digest == *digest).map(|set| set.number))
    }

    /// Remembers that a set was put back, for when it comes into force.
    pub(crate) fn mark_put_back(&self, set: &TakenSet) -> Result<(), LoadError> {
        let path = self.put_back_file();
        let put_back = serde_json::to_vec(&PutBack { number: set.number, digest: set.digest })
            .map_err(|error| LoadError::io("write", &path)(error.into()))?;
        replace(&path, &put_back)
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
            let path = self.directory.join(format!("sets/{:08}.json", set.number));
            fs::remove_file(&path).map_err(LoadError::io("remove", &path))?;
        }
        let used: BTreeSet<_> =
            kept.iter().flat_map(|set| set.files.values()).map(|of| self.object(of)).collect();
        let folder = self.directory.join("objects");
        for entry in fs::read_dir(&folder).map_err(LoadError::io("list", &folder))? {
            let path = entry.map_err(LoadError::io("list", &folder))?.path();
            if !used.contains(&path) {
                fs::remove_file(&path).map_err(LoadError::io("remove", &path))?;
            }
        }
        Ok(())
    }

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
            let contents = fs::read(&object).map_err(LoadError::io("read", &object))?;
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
        let path = self.directory.join(format!("sets/{:08}.json", set.number));
        Err(LoadError::Kept { path, reason })
    }

    fn object(&self, of: &Digest) -> PathBuf {
        self.directory.join("objects").join(of.to_string().replace(':', "-"))
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
        .ok_or_else(|| LoadError::io("set aside", &path)(ErrorKind::AlreadyExists.into()))?;
    fs::rename(&path, policies.join(&aside)).map_err(LoadError::io("rename", &path))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().into())).collect()
    }

    fn write(folder: &Path, list: &[(&str, &str)]) {
        for (name, text) in list {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn restore(
        history: &History,
        number: Option<u64>,
        policies: &Path,
    ) -> Result<Restored, LoadError> {
        let earlier = history.earlier(number)?;
        let restored = earlier.put_back(policies, &Trusted::process())?;
        history.mark_put_back(&earlier.set)?;
        Ok(restored)
    }

    const OLD: &[(&str, &str)] = &[("a.toml", "old"), ("plugins/p.wasm", "code 1")];
    const NEW: &[(&str, &str)] =
        &[("a.toml", "new"), ("b.toml", "more"), ("plugins/p.wasm", "code 2")];

    #[test]
    fn an_earlier_set_is_put_back_whole_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        write(&policies, OLD);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(history.keep(&files(OLD), &Versions::new(), now).unwrap().number, 1);
        assert_eq!(history.keep(&files(OLD), &Versions::new(), now).unwrap().number, 1);
        write(&policies, NEW);
        assert_eq!(history.keep(&files(NEW), &Versions::new(), now).unwrap().number, 2);
        // Changed since, and in no set; nothing that is not there.
        write(&policies, &[("a.toml", "half done"), ("notes.txt", "mine")]);

        let restored = restore(&history, None, &policies).unwrap();
        assert_eq!(restored.number, 1);
        let read = |name: &str| fs::read_to_string(policies.join(name)).unwrap();
        assert_eq!((read("a.toml"), read("plugins/p.wasm")), ("old".into(), "code 1".into()));
        assert_eq!(
            (read("a.toml.aside-1"), read("notes.txt")),
            ("half done".into(), "mine".into())
        );
        assert!(!policies.join("b.toml").exists());
        assert_eq!(read("b.toml.aside-1"), "more");

        let restored = restore(&history, Some(2), &policies).unwrap();
        assert_eq!(restored.set_aside, Vec::<PathBuf>::new());
        assert_eq!((read("a.toml"), read("b.toml")), ("new".into(), "more".into()));
    }

    #[test]
    fn to_go_back_twice_is_two_steps_and_not_forward_again() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        let take = |list: &[(&str, &str)]| {
            history.keep(&files(list), &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        };
        let sets: [&[(&str, &str)]; 3] =
            [&[("a.toml", "1")], &[("a.toml", "2")], &[("a.toml", "3")]];
        write(&policies, sets[2]);
        for set in sets {
            take(set);
        }
        let back = || restore(&history, None, &policies).map(|restored| restored.number);
        assert_eq!(back().unwrap(), 2);
        take(sets[1]);
        assert_eq!(back().unwrap(), 1);
        take(sets[0]);
        assert!(back().is_err());
    }

    #[test]
    fn what_was_deleted_by_hand_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        let take = |list: &[(&str, &str)]| {
            history.keep(&files(list), &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        };
        let one: &[(&str, &str)] = &[("a.toml", "1")];
        let both: &[(&str, &str)] = &[("a.toml", "1"), ("b.toml", "2")];
        write(&policies, one);
        take(one);
        take(both);
        // The binding is deleted, and there is again what was there first.
        take(one);
        let back = || restore(&history, None, &policies).map(|restored| restored.number);
        assert_eq!(back().unwrap(), 2);
        assert!(policies.join("b.toml").exists());
        take(both);
        assert_eq!(back().unwrap(), 1);
        // Something else was made of it than what was put back.
        take(&[("a.toml", "3")]);
        assert_eq!(back().unwrap(), 4);
        assert_eq!(history.sets().unwrap()[1].put_back, Some(2));
    }

    #[test]
    fn a_set_that_is_not_kept_is_an_error_that_names_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        history.keep(&files(OLD), &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        for asked in [None, Some(7)] {
            let error = restore(&history, asked, folder.path()).unwrap_err().to_string();
            assert!(error.contains("kept: 1"), "{error}");
        }
    }

    #[test]
    fn what_the_history_does_not_vouch_for_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (state, policies) = (folder.path().join("history"), folder.path().join("policies"));
        fs::create_dir(&policies).unwrap();
        let history = History::open(&state, &Trusted::process()).unwrap();
        history.keep(&files(&[("a.toml", "1")]), &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        let object = history.object(&Digest::of(b"1"));
        fs::write(&object, "another").unwrap();
        let error = restore(&history, Some(1), &policies).unwrap_err().to_string();
        assert!(error.contains("not what it was"), "{error}");
        fs::write(&object, "1").unwrap();
        let set = state.join("sets/00000001.json");
        let text = fs::read_to_string(&set).unwrap();
        for elsewhere in ["/etc/a.toml", "../a.toml", "plugins/../../a.toml"] {
            fs::write(&set, text.replace("a.toml", elsewhere)).unwrap();
            let refused = restore(&history, Some(1), &policies).unwrap_err();
            assert!(matches!(refused, LoadError::NoSuchSet { .. }), "{elsewhere}: {refused}");
        }
        assert_eq!(fs::read_dir(&policies).unwrap().count(), 0);
    }

    #[test]
    fn a_set_that_was_changed_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (state, policies) = (folder.path().join("history"), folder.path().join("policies"));
        fs::create_dir(&policies).unwrap();
        let history = History::open(&state, &Trusted::process()).unwrap();
        for text in ["1", "2"] {
            let list = files(&[("a.toml", text)]);
            history.keep(&list, &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        }
        let set = state.join("sets/00000001.json");
        let kept = fs::read_to_string(&set).unwrap();
        let [one, two] = [b"1", b"2"].map(|text| Digest::of(text).to_string());
        // Each names a file that the history has.
        for changed in [kept.replace(&one, &two), kept.replace("a.toml", "b.toml")] {
            assert_ne!(changed, kept);
            fs::write(&set, changed).unwrap();
            let refused = restore(&history, Some(1), &policies).unwrap_err().to_string();
            assert!(refused.contains("the history was changed"), "{refused}");
        }
        assert_eq!(fs::read_dir(&policies).unwrap().count(), 0);
        fs::write(&set, kept).unwrap();
        assert_eq!(restore(&history, Some(1), &policies).unwrap().written.len(), 1);
    }

    #[test]
    fn names_that_do_not_show_what_they_are_are_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        fs::create_dir(&policies).unwrap();
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        for name in ["a\u{1b}[2J.toml", "plugins/a\nb.wasm", "a\u{202e}.toml"] {
            let list = files(&[(name, "1")]);
            let set = history.keep(&list, &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
            let refused = restore(&history, Some(set.number), &policies).unwrap_err().to_string();
            assert!(refused.contains("not seen"), "{refused}");
        }
        assert_eq!(fs::read_dir(&policies).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_made_or_set_aside_where_others_may_write() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        let history = History::open(&folder.path().join("history"), &Trusted::process()).unwrap();
        for list in [&[("plugins/p/p.wasm", "1")][..], &[]] {
            history.keep(&files(list), &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        }
        write(&policies, &[("a.toml", "mine")]);
        fs::set_permissions(&policies, fs::Permissions::from_mode(0o777)).unwrap();
        for number in [1, 2] {
            let refused = restore(&history, Some(number), &policies).unwrap_err();
            assert!(matches!(refused, LoadError::Untrusted(_)), "{refused}");
        }
        let left: Vec<_> =
            fs::read_dir(&policies).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a.toml"]);
    }

    #[test]
    fn old_sets_and_what_only_they_had_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), &Trusted::process()).unwrap();
        for n in 0..KEPT + 3 {
            let text = n.to_string();
            let list = files(&[("a.toml", text.as_str()), ("shared", "same")]);
            history.keep(&list, &Versions::new(), Timestamp::UNIX_EPOCH).unwrap();
        }
        let sets = history.sets().unwrap();
        assert_eq!((sets.len(), sets.last().unwrap().number), (KEPT, 4));
        assert_eq!(fs::read_dir(folder.path().join("objects")).unwrap().count(), KEPT + 1);
        let policies = tempfile::tempdir().unwrap();
        restore(&history, Some(4), policies.path()).unwrap();
        assert_eq!(fs::read_to_string(policies.path().join("a.toml")).unwrap(), "3");
    }
}
