//! A commit happens completely or not at all, and its checks decide which.

use super::{key, put, value};
use crate::{Commit, CommitError, SharedStore, Version};

/// Commit numbers rise, also for commits that only delete.
pub async fn versions_rise_with_each_commit(store: SharedStore) {
    let mut last = put(&*store, "t/a", "").await;
    for commit in [
        Commit::new().put(key("t/a"), ""),
        Commit::new().delete(key("t/a")),
        Commit::new().delete(key("t/a")),
        Commit::new().put(key("t/a"), "").put(key("t/b"), ""),
    ] {
        let next = store.commit(commit).await.unwrap();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    assert_eq!(store.get(&key("t/a")).await.unwrap().unwrap().version, last);
    assert_eq!(store.get(&key("t/b")).await.unwrap().unwrap().version, last);
}

/// One check that fails, and none of the writes happen. The conflict names the key.
pub async fn a_failed_check_stops_the_whole_commit(store: SharedStore) {
    put(&*store, "t/a", "old").await;
    let commit = Commit::new()
        .check_absent(key("t/new"))
        .check_absent(key("t/a"))
        .put(key("t/new"), "x")
        .put(key("t/a"), "x")
        .delete(key("t/a"));
    let answer = store.commit(commit).await;
    assert_eq!(answer, Err(CommitError::Conflict { key: key("t/a") }));
    assert_eq!(value(&*store, "t/new").await, None);
    assert_eq!(value(&*store, "t/a").await.as_deref(), Some("old"));
}

/// Absent means never written or deleted; an empty value is a record.
pub async fn check_absent_holds_only_without_a_record(store: SharedStore) {
    let create = || Commit::new().check_absent(key("t/a")).put(key("t/a"), "");
    store.commit(create()).await.unwrap();
    assert_eq!(store.commit(create()).await, Err(CommitError::Conflict { key: key("t/a") }));
    store.commit(Commit::new().delete(key("t/a"))).await.unwrap();
    store.commit(create()).await.unwrap();
}

/// A version is good until the record is written again, even with the same value.
pub async fn check_version_holds_only_for_that_version(store: SharedStore) {
    let conflict = Err(CommitError::Conflict { key: key("t/a") });
    let update = |version| Commit::new().check_version(key("t/a"), version).put(key("t/a"), "x");
    assert_eq!(store.commit(update(Version::new(1))).await, conflict, "no record");
    let first = put(&*store, "t/a", "x").await;
    let unrelated = put(&*store, "t/b", "x").await;
    assert_eq!(store.commit(update(unrelated)).await, conflict, "another record's version");
    let second = store.commit(update(first)).await.unwrap();
    assert_eq!(store.commit(update(first)).await, conflict, "written again meanwhile");
    store.commit(update(second)).await.unwrap();
    store.commit(Commit::new().delete(key("t/a"))).await.unwrap();
    assert_eq!(store.commit(update(second)).await, conflict, "deleted meanwhile");
}

/// Checks alone can be asked, and change nothing.
pub async fn a_commit_without_writes_evaluates_its_checks(store: SharedStore) {
    let version = put(&*store, "t/a", "x").await;
    let holds = Commit::new().check_version(key("t/a"), version).check_absent(key("t/b"));
    assert_eq!(store.commit(holds.clone()).await, Ok(version));
    put(&*store, "t/b", "x").await;
    assert_eq!(store.commit(holds).await, Err(CommitError::Conflict { key: key("t/b") }));
    assert_eq!(store.get(&key("t/a")).await.unwrap().unwrap().version, version);
    store.commit(Commit::new()).await.unwrap();
}

/// Checks look at the state before the commit's own writes.
pub async fn the_same_key_can_be_checked_and_written(store: SharedStore) {
    let version = put(&*store, "t/a", "1").await;
    let replace = Commit::new().put(key("t/a"), "2").check_version(key("t/a"), version);
    store.commit(replace).await.unwrap();
    assert_eq!(value(&*store, "t/a").await.as_deref(), Some("2"));
}

/// One commit may carry many records; all get its number.
pub async fn many_keys_are_written_by_one_commit(store: SharedStore) {
    let commit = (0..1000).fold(Commit::new(), |commit, number| {
        commit.put(key(format!("t/{number:04}")), number.to_string())
    });
    let version = store.commit(commit).await.unwrap();
    let found = store.scan(b"t/", None, 2000).await.unwrap();
    assert_eq!(found.len(), 1000);
    assert!(found.iter().all(|record| record.version == version));
    assert_eq!(&found[437].value[..], b"437");
}

/// Over the limit nothing of a commit happens, and the store goes on.
pub async fn a_commit_that_is_too_large_is_refused_whole(store: SharedStore) {
    let commit =
        Commit::new().put(key("t/small"), "x").put(key("t/big"), vec![0; Commit::MAX_BYTES]);
    let answer = store.commit(commit).await;
    assert!(matches!(answer, Err(CommitError::TooLarge { .. })), "{answer:?}");
    assert_eq!(value(&*store, "t/small").await, None);
    put(&*store, "t/small", "y").await;
}
