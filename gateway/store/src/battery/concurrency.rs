//! Commits and reads by several tasks at once lose no update and show no part of a commit.

use super::{key, put, value};
use crate::{Commit, CommitError, SharedStore};

/// Read, add one, commit if unchanged, otherwise try again: no increment is lost, in any order of
/// the writers.
pub async fn increments_under_contention_are_all_counted(store: SharedStore) {
    const TASKS: u32 = 8;
    const EACH: u32 = 25;
    put(&*store, "t/n", "0").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                increment(&store).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(value(&*store, "t/n").await, Some((TASKS * EACH).to_string()));
}

async fn increment(store: &SharedStore) {
    loop {
        let record = store.get(&key("t/n")).await.unwrap().unwrap();
        let number: u32 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
        let next = Commit::new()
            .check_version(key("t/n"), record.version)
            .put(key("t/n"), (number + 1).to_string());
        match store.commit(next).await {
            Ok(_) => return,
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// If many create the same record, exactly one succeeds.
pub async fn one_of_many_claims_wins(store: SharedStore) {
    for round in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for who in 0..16 {
            let (store, at) = (store.clone(), key(format!("t/{round}")));
            let claim = Commit::new().check_absent(at.clone()).put(at, who.to_string());
            tasks.spawn(async move { store.commit(claim).await.ok().map(|_| who.to_string()) });
        }
        let winners: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let winner = value(&*store, &format!("t/{round}")).await;
        assert_eq!(winner.as_ref(), winners.first());
    }
}

/// Transfers between accounts while others add up: every scan sees the same total.
pub async fn readers_never_see_half_a_commit(store: SharedStore) {
    const ACCOUNTS: usize = 6;
    let mut commit = Commit::new();
    for account in 0..ACCOUNTS {
        commit = commit.put(key(format!("t/{account}")), "100");
    }
    store.commit(commit).await.unwrap();

    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = store.clone();
        tasks.spawn(async move {
            for round in 0..50 {
                let (from, to) = ((task + round) % ACCOUNTS, (task + 2 * round + 1) % ACCOUNTS);
                if from != to {
                    transfer(&store, from, to).await;
                }
            }
        });
    }
    while !tasks.is_empty() {
        assert_eq!(total(&store).await, 100 * ACCOUNTS);
        while tasks.try_join_next().is_some() {}
    }
    assert_eq!(total(&store).await, 100 * ACCOUNTS);
}

async fn transfer(store: &SharedStore, from: usize, to: usize) {
    loop {
        let mut commit = Commit::new();
        for (account, change) in [(from, -1), (to, 1)] {
            let at = key(format!("t/{account}"));
            let record = store.get(&at).await.unwrap().unwrap();
            let balance: i64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
            commit = commit
                .check_version(at.clone(), record.version)
                .put(at, (balance + change).to_string());
        }
        if store.commit(commit).await.is_ok() {
            return;
        }
    }
}

async fn total(store: &SharedStore) -> usize {
    let accounts = store.scan(b"t/", None, 100).await.unwrap();
    accounts
        .iter()
        .map(|record| std::str::from_utf8(&record.value).unwrap().parse::<usize>().unwrap())
        .sum()
}

/// Once a commit is acknowledged every read sees it, from any task.
pub async fn an_acknowledged_write_is_read_at_once(store: SharedStore) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for round in 0..25 {
                let (at, expected) = (format!("t/{task}"), round.to_string());
                let version = put(&*store, &at, &expected).await;
                let record = store.get(&key(&at)).await.unwrap().unwrap();
                assert_eq!(record.version, version);
                let scanned = store.scan(at.as_bytes(), None, 1).await.unwrap();
                assert_eq!(scanned, [record]);
            }
        });
    }
    tasks.join_all().await;
}
