//! Tests of restoring earlier sets of policies from the history.

use jiff::Timestamp;

use super::*;
use crate::component::Versions;
use crate::set::history::KEPT;

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

fn restore(history: &History, number: Option<u64>, policies: &Path) -> Result<Restored, LoadError> {
    let earlier = history.earlier(number)?;
    let restored = earlier.put_back(policies, &Trusted::process())?;
    history.mark_put_back(&earlier.set)?;
    Ok(restored)
}

const OLD: &[(&str, &str)] = &[("a.toml", "old"), ("plugins/p.wasm", "code 1")];
const NEW: &[(&str, &str)] = &[("a.toml", "new"), ("b.toml", "more"), ("plugins/p.wasm", "code 2")];

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
    assert_eq!((read("a.toml.aside-1"), read("notes.txt")), ("half done".into(), "mine".into()));
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
    let sets: [&[(&str, &str)]; 3] = [&[("a.toml", "1")], &[("a.toml", "2")], &[("a.toml", "3")]];
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
