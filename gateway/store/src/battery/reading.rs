//! Reads and scans: the newest value, the order of keys, prefixes and pages.

use super::{key, keys, put, value};
use crate::{Commit, Key, SharedStore};

/// What was put is read with its key and version; what was not is not there.
pub async fn reads_what_was_put(store: SharedStore) {
    let version = put(&*store, "t/a", "one").await;
    let record = store.get(&key("t/a")).await.unwrap().unwrap();
    assert_eq!((record.key, &record.value[..], record.version), (key("t/a"), &b"one"[..], version));
    assert_eq!(store.get(&key("t/b")).await.unwrap(), None);
    assert_eq!(store.get(&key("t")).await.unwrap(), None, "a prefix of a key is not that key");
}

/// The newest value counts.
pub async fn an_overwritten_record_has_the_later_version(store: SharedStore) {
    let first = put(&*store, "t/a", "one").await;
    let second = put(&*store, "t/a", "two").await;
    assert!(second > first);
    let record = store.get(&key("t/a")).await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.version), (&b"two"[..], second));
}

/// Deleting removes the record from reads and scans, and deleting nothing is no error.
pub async fn a_deleted_record_is_gone(store: SharedStore) {
    put(&*store, "t/a", "one").await;
    put(&*store, "t/b", "two").await;
    store.commit(Commit::new().delete(key("t/a")).delete(key("t/never"))).await.unwrap();
    assert_eq!(value(&*store, "t/a").await, None);
    assert_eq!(keys(&*store, "t/", None, 10).await, ["t/b"]);
}

/// Keys are ordered by their bytes, not by insertion, number or locale.
pub async fn scans_in_the_order_of_bytes(store: SharedStore) {
    let mut names: Vec<Vec<u8>> = ["t/b", "t/a", "t/a/", "t/a0", "t/10", "t/9", "t/B", "t/ä"]
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    names.extend([b"t/\x00".to_vec(), b"t/\xff".to_vec(), b"t/\xff\xff".to_vec()]);
    for name in &names {
        let put = Commit::new().put(Key::new(name.clone()).unwrap(), "");
        store.commit(put).await.unwrap();
    }
    names.sort();
    let found = store.scan(b"t/", None, 100).await.unwrap();
    let found: Vec<_> = found.iter().map(|record| record.key.as_bytes().to_vec()).collect();
    assert_eq!(found, names);
}

/// Neighbours of the prefix on both sides stay out.
pub async fn scans_only_below_the_prefix(store: SharedStore) {
    for name in ["s/z", "t", "t/", "t/a", "t0", "ta", "u/a"] {
        put(&*store, name, "").await;
    }
    assert_eq!(keys(&*store, "t/", None, 10).await, ["t/", "t/a"]);
    assert_eq!(keys(&*store, "t", None, 10).await, ["t", "t/", "t/a", "t0", "ta"]);
    assert_eq!(keys(&*store, "v", None, 10).await, [""; 0]);
    put(&*store, "\u{7f}/x", "").await;
    let below_the_last_byte = store.scan(b"\xff", None, 10).await.unwrap();
    assert_eq!(below_the_last_byte, []);
}

/// `after` is exclusive, need not exist, and may lie outside the prefix.
pub async fn scans_page_by_page(store: SharedStore) {
    for number in 0..25 {
        put(&*store, &format!("t/{number:02}"), "").await;
    }
    let mut seen = Vec::new();
    loop {
        let page = keys(&*store, "t/", seen.last().map(String::as_str), 10).await;
        assert!(page.len() <= 10);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, (0..25).map(|number| format!("t/{number:02}")).collect::<Vec<_>>());
    assert_eq!(keys(&*store, "t/", Some("t/105"), 2).await, ["t/11", "t/12"]);
    assert_eq!(keys(&*store, "t/", Some("a"), 1).await, ["t/00"], "before the prefix");
    assert_eq!(keys(&*store, "t/", Some("x"), 1).await, [""; 0], "beyond the prefix");
}

/// A caller that wants nothing gets nothing.
pub async fn scans_nothing_for_a_limit_of_zero(store: SharedStore) {
    put(&*store, "t/a", "").await;
    assert_eq!(keys(&*store, "t/", None, 0).await, [""; 0]);
}

/// The empty prefix is below nothing; long scans give the same as short ones.
pub async fn a_scan_of_everything_finds_every_record(store: SharedStore) {
    let mut commit = Commit::new();
    for number in 0..500 {
        commit = commit.put(key(format!("t{}/{number:03}", number % 7)), number.to_string());
    }
    store.commit(commit).await.unwrap();
    let everything = store.scan(b"", None, 10_000).await.unwrap();
    assert_eq!(everything.len(), 500);
    assert!(everything.is_sorted_by(|left, right| left.key < right.key));
    let short = store.scan(b"", None, 20).await.unwrap();
    assert_eq!(short, everything[..20]);
}

/// Between two pages commits may happen: what lies behind the last key is seen as it is now, and
/// nothing is seen twice.
pub async fn a_paged_scan_goes_on_across_commits(store: SharedStore) {
    for name in ["t/b", "t/d", "t/f", "t/h"] {
        put(&*store, name, "").await;
    }
    assert_eq!(keys(&*store, "t/", None, 2).await, ["t/b", "t/d"]);
    let between =
        Commit::new().put(key("t/a"), "").put(key("t/e"), "").delete(key("t/d")).delete(key("t/f"));
    store.commit(between).await.unwrap();
    assert_eq!(keys(&*store, "t/", Some("t/d"), 10).await, ["t/e", "t/h"]);
}
