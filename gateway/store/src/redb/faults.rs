//! What happens when the disk fails: a simulated one that loses power, refuses and runs full at any
//! operation.

use std::io;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::disk::Disk;
use super::{Fitness, RedbStore};
use crate::{Commit, CommitError, Key, Store as _, Version};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// A commit of two records that only make sense together.
fn pair(number: usize) -> Commit {
    let value = Bytes::from(vec![u8::try_from(number % 251).unwrap(); 700 + 97 * (number % 13)]);
    Commit::new()
        .put(key(&format!("l/{number}")), value.clone())
        .put(key(&format!("r/{number}")), value)
}

async fn is_there(store: &RedbStore, number: usize) -> bool {
    let left = store.get(&key(&format!("l/{number}"))).await.unwrap();
    let right = store.get(&key(&format!("r/{number}"))).await.unwrap();
    assert_eq!(
        left.as_ref().map(|record| (&record.value, record.version)),
        right.as_ref().map(|record| (&record.value, record.version)),
        "half of commit {number} is there"
    );
    left.is_some()
}

/// Makes `count` of the [`pair`]s with up to four in flight, and returns how each went.
async fn load(store: &RedbStore, count: usize) -> Vec<Result<Version, CommitError>> {
    let mut answers = Vec::new();
    for first in (0..count).step_by(4) {
        let group = [0, 1, 2, 3].map(|number| store.commit(pair(first + number)));
        let [a, b, c, d] = group;
        answers.extend(<[_; 4]>::from(tokio::join!(a, b, c, d)));
    }
    answers
}

/// Hands the commit over to the writer and leaves it there.
fn begin(commit: &mut crate::BoxFuture<'_, Result<Version, CommitError>>) {
    let begun = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending(), "{begun:?}");
}

#[tokio::test]
async fn reads_do_not_wait_for_a_commit_in_progress() {
    let disk = Disk::default();
    let store = disk.open();
    store.commit(pair(0)).await.unwrap();
    let (arrivals, open) = disk.gate();
    let mut commit = store.commit(pair(1));
    begin(&mut commit);
    arrivals.recv().unwrap();
    assert!(is_there(&store, 0).await);
    assert!(!is_there(&store, 1).await, "not acknowledged, not durable");
    assert_eq!(store.scan(b"", None, 1000).await.unwrap().len(), 2);
    open();
    commit.await.unwrap();
    assert!(is_there(&store, 1).await);
}

#[tokio::test]
async fn commits_that_wait_share_one_durable_write() {
    let disk = Disk::default();
    let store = disk.open();
    let put = |number: u64| Commit::new().put(key(&format!("t/{number}")), "x");
    let before = disk.syncs();
    store.commit(put(0)).await.unwrap();
    let each = disk.syncs() - before;

    let (arrivals, open) = disk.gate();
    let mut first = store.commit(put(1));
    begin(&mut first);
    arrivals.recv().unwrap();
    let mut waiting: Vec<_> = (2..66).map(|number| store.commit(put(number))).collect();
    waiting.iter_mut().for_each(begin);
    let before = disk.syncs();
    open();
    first.await.unwrap();
    for commit in waiting {
        commit.await.unwrap();
    }
    assert_eq!(disk.syncs() - before, 2 * each, "one for the first, one for the 64 behind it");
    assert_eq!(store.scan(b"t/", None, 1000).await.unwrap().len(), 66);
}

#[tokio::test]
async fn no_power_cut_loses_or_halves_a_commit() {
    let whole = Disk::default();
    let store = whole.open();
    let before = whole.operations();
    assert!(load(&store, 24).await.iter().all(Result::is_ok));
    let operations = whole.operations() - before;
    drop(store);
    assert!(operations > 20, "{operations}");

    let mut acknowledged = 0;
    for cut in 1..=operations {
        let disk = Disk::default();
        let store = disk.open();
        disk.faults(|faults| faults.power_cut = Some(before + cut));
        let answers = load(&store, 24).await;
        drop(store);
        for seed in 0..2 {
            let store = Disk::holding(disk.after_power_cut(seed * 1000 + cut)).open();
            for (number, answer) in answers.iter().enumerate() {
                let there = is_there(&store, number).await;
                assert!(there || answer.is_err(), "power cut {cut} lost commit {number}");
            }
            store.commit(pair(1000)).await.unwrap();
        }
        acknowledged += answers.iter().filter(|answer| answer.is_ok()).count();
    }
    assert!(acknowledged > 0, "no cut came after an acknowledgement");
}

#[tokio::test]
async fn one_failed_operation_fails_its_commits_and_no_others() {
    use io::ErrorKind::{Other, StorageFull};

    let (mut full, mut unavailable) = (0, 0);
    for (number, kind) in (1..60).flat_map(|number| [(number, Other), (number, StorageFull)]) {
        let disk = Disk::default();
        let store = disk.open();
        let failing = disk.operations() + number;
        disk.faults(|faults| faults.refusal = Some((failing, kind)));
        let answers = load(&store, 24).await;
        let reopened = Disk::holding(disk.image()).open();
        for (round, store) in [("running", &store), ("reopened", &reopened)] {
            for (number, answer) in answers.iter().enumerate() {
                let there = is_there(store, number).await;
                match answer {
                    Ok(_) => assert!(there, "{round}: commit {number} is lost"),
                    Err(CommitError::Full) => {
                        full += 1;
                        assert!(!there, "{round}: commit {number} was refused and is there");
                    }
                    Err(CommitError::Unavailable(_)) => unavailable += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(answers.last().unwrap().is_ok(), "the store did not go on after fault {number}");
        let mut versions: Vec<_> = answers.iter().flatten().collect();
        versions.sort();
        versions.dedup();
        assert_eq!(versions.len(), answers.iter().flatten().count(), "a version was used twice");
    }
    assert!(full > 0 && unavailable > 0, "{full} {unavailable}");
}

#[tokio::test]
async fn a_full_disk_refuses_commits_and_keeps_the_others() {
    let disk = Disk::default();
    let store = disk.open();
    disk.faults(|faults| faults.limit = Some(3 << 20));
    let mut kept = 0;
    let refused = loop {
        match store.commit(pair(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::Full);
    assert!(kept > 100, "{kept}");
    assert_eq!(store.fitness().await, Ok(Fitness::Full));
    // Again: the store is the same after the second refusal.
    let large = Commit::new().put(key("large"), vec![0; 4 << 20]);
    assert_eq!(store.commit(large).await, Err(CommitError::Full));
    for number in 0..kept {
        assert!(is_there(&store, number).await);
    }
    assert!(!is_there(&store, kept).await);

    // Room is made by deleting, a little at a time: each commit needs a few pages itself.
    for number in 0..kept / 2 {
        let delete =
            Commit::new().delete(key(&format!("l/{number}"))).delete(key(&format!("r/{number}")));
        store.commit(delete).await.unwrap();
    }
    store.commit(pair(kept)).await.unwrap();
    assert_eq!(store.fitness().await, Ok(Fitness::Well));

    disk.faults(|faults| faults.limit = None);
    assert!(load(&store, 8).await.iter().all(Result::is_ok));
    drop(store);
    let store = disk.open();
    for number in (0..8).chain(kept / 2..=kept) {
        assert!(is_there(&store, number).await, "{number}");
    }
}

#[tokio::test]
async fn a_commit_that_was_refused_is_not_watched_and_one_that_landed_is() {
    for number in 1..60 {
        let disk = Disk::default();
        let store = disk.open();
        let mut watch = store.watch(b"l/");
        let failing = disk.operations() + number;
        disk.faults(|faults| faults.refusal = Some((failing, io::ErrorKind::Other)));
        load(&store, 8).await;
        let mut watched = Vec::new();
        while let Some(change) = watch.try_next() {
            watched.push(format!("{change:?}"));
        }
        let mut there = 0;
        for commit in 0..8 {
            if is_there(&store, commit).await {
                there += 1;
                let name = format!("\"l/{commit}\"");
                assert!(watched.iter().any(|change| change.contains(&name)), "{watched:?}");
            }
        }
        assert_eq!(watched.len(), there, "{watched:?}");
    }
}

#[tokio::test]
async fn a_failed_read_is_tried_again_on_a_fresh_handle() {
    let disk = Disk::default();
    let store = disk.open();
    assert!(load(&store, 24).await.iter().all(Result::is_ok));
    disk.faults(|faults| faults.unreadable = true);
    assert!(is_there(&store, 3).await);
    disk.faults(|faults| faults.unreadable = true);
    assert_eq!(store.scan(b"l/", None, 1000).await.unwrap().len(), 24);
    store.commit(pair(30)).await.unwrap();
    assert!(is_there(&store, 30).await);
}

#[tokio::test]
async fn a_disk_that_stays_dead_fails_everything_until_it_is_back() {
    let disk = Disk::default();
    let store = disk.open();
    store.commit(pair(0)).await.unwrap();
    disk.faults(|faults| faults.power_cut = Some(0));
    for _ in 0..2 {
        let answer = store.commit(pair(1)).await;
        assert!(matches!(answer, Err(CommitError::Unavailable(_))), "{answer:?}");
    }
    store.get(&key("l/0")).await.unwrap_err();
    disk.faults(|faults| faults.power_cut = None);
    assert!(is_there(&store, 0).await, "the first read finds out");
    store.commit(pair(2)).await.unwrap();
    assert!(is_there(&store, 2).await);
}
