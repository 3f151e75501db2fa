//! Watches report each commit, in order, before it is acknowledged; the store's clock does not go backwards.

use super::{key, put};
use crate::{Change, Commit, SharedStore, Version};

/// Puts and deletions arrive with the number of their commit, in the order of commits.
pub async fn a_watch_reports_commits_in_order(store: SharedStore) {
    put(&*store, "t/before", "").await;
    let mut watch = store.watch(b"t/");
    let first = put(&*store, "t/a", "1").await;
    let second = store.commit(Commit::new().put(key("t/b"), "2").delete(key("t/a"))).await.unwrap();
    let expected = [
        Change::Put { key: key("t/a"), version: first },
        Change::Deleted { key: key("t/a"), version: second },
        Change::Put { key: key("t/b"), version: second },
    ];
    for change in expected {
        assert_eq!(watch.next().await, Some(change));
    }
    assert_eq!(watch.try_next(), None);
}

/// Other prefixes and commits that did not happen are not reported.
pub async fn a_watch_reports_only_its_prefix_and_only_what_happened(store: SharedStore) {
    let mut watch = store.watch(b"t/");
    put(&*store, "s/a", "").await;
    put(&*store, "t0", "").await;
    let conflict = Commit::new().check_version(key("t/a"), Version::new(1)).put(key("t/a"), "");
    store.commit(conflict).await.unwrap_err();
    store.commit(Commit::new().check_absent(key("t/a"))).await.unwrap();
    let version = put(&*store, "t/last", "").await;
    assert_eq!(watch.next().await, Some(Change::Put { key: key("t/last"), version }));
}

/// A cache that has read its whole watch never serves older data than what its caller was told.
pub async fn a_commit_is_in_the_watch_before_it_is_acknowledged(store: SharedStore) {
    let mut watch = store.watch(b"");
    for round in 0..50 {
        let version = put(&*store, "t/a", &round.to_string()).await;
        assert_eq!(watch.try_next(), Some(Change::Put { key: key("t/a"), version }));
    }
}

/// In any grouping of commits and from any writer, a watch sees their numbers rise, and misses
/// none.
pub async fn a_watch_keeps_the_order_of_concurrent_commits(store: SharedStore) {
    let mut watch = store.watch(b"t/");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut versions = Vec::new();
            for round in 0..20 {
                versions.push(put(&*store, &format!("t/{task}/{round}"), "").await);
            }
            versions
        });
    }
    let mut made: Vec<Version> = tasks.join_all().await.concat();
    made.sort();
    let mut seen = Vec::new();
    while let Some(change) = watch.try_next() {
        match change {
            Change::Put { version, .. } => seen.push(version),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, made);
}

/// The next commit wakes a reader that waits.
pub async fn a_watch_waits_for_the_next_change(store: SharedStore) {
    let mut watch = store.watch(b"t/");
    let reader = tokio::spawn(async move { watch.next().await });
    let version = put(&*store, "t/a", "").await;
    assert_eq!(reader.await.unwrap(), Some(Change::Put { key: key("t/a"), version }));
}

/// A reader that has seen one change of a commit can take all others of it without waiting.
pub async fn a_watch_gets_a_commit_at_once(store: SharedStore) {
    const WRITES: usize = 40;
    let mut watch = store.watch(b"t/");
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..20 {
                let each = |commit: Commit, n| commit.put(key(format!("t/{n:04}")), "x");
                store.commit((0..WRITES).fold(Commit::new(), each)).await.unwrap();
            }
        }
    });
    for _ in 0..20 {
        let Some(Change::Put { version, .. }) = watch.next().await else { panic!("lagged") };
        for _ in 1..WRITES {
            let next = watch.try_next();
            assert!(matches!(next, Some(Change::Put { version: of, .. }) if of == version));
        }
    }
    writer.await.unwrap();
}

/// The store's clock does not go backwards from one look to the next.
pub async fn the_time_goes_on(store: SharedStore) {
    let first = store.now().await.unwrap();
    put(&*store, "t/a", "1").await;
    assert!(store.now().await.unwrap() >= first);
}
