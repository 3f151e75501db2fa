//! Random commits and reads agree with a sorted map.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::key;
use crate::{Check, Commit, CommitError, Key, SharedStore, Version, Write};

/// A few keys, so that steps meet; some are prefixes of others.
const NAMES: [&str; 7] = ["a", "a/", "a/b", "a/b/c", "ab", "b", "c/d"];

#[derive(Debug, Clone)]
enum Step {
    Commit { checks: Vec<(usize, Expect)>, writes: Vec<(usize, Option<Vec<u8>>)> },
    Get(usize),
    Scan { prefix: String, after: Option<usize>, limit: usize },
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    Absent,
    Current,
    Stale,
}

/// Random commits and reads give what a sorted map gives.
pub async fn behaves_like_a_map(store: SharedStore) {
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        let case = std::cell::Cell::new(0);
        let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
        TestRunner::new(config).run(&vec(step(), 1..40), |steps| {
            // Each case below its own prefix, as if the store were new.
            case.set(case.get() + 1);
            runtime.block_on(compare(&store, &format!("model/{}/", case.get()), steps))
        })
    };
    if let Err(failure) = tokio::task::spawn_blocking(run).await.unwrap() {
        panic!("{failure}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    let expect = prop_oneof![
        2 => Just(Expect::Absent),
        6 => Just(Expect::Current),
        1 => Just(Expect::Stale),
    ];
    let value = proptest::option::weighted(0.7, vec(any::<u8>(), 0..40));
    prop_oneof![
        4 => (vec((name.clone(), expect), 0..2), vec((name.clone(), value), 0..5))
            .prop_map(|(checks, writes)| Step::Commit { checks, writes }),
        1 => name.clone().prop_map(Step::Get),
        2 => ("(a|a/|a/b|b|c|)", proptest::option::of(name), 0..6_usize)
            .prop_map(|(prefix, after, limit)| Step::Scan { prefix, after, limit }),
    ]
}

type Model = BTreeMap<Key, (Vec<u8>, Version)>;

async fn compare(store: &SharedStore, base: &str, steps: Vec<Step>) -> TestCaseResult {
    let named = |name: usize| key(format!("{base}{}", NAMES[name]));
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Commit { checks, writes } => {
                let mut commit = Commit::new();
                for (name, expect) in checks {
                    let key = named(name);
                    let expected = match (expect, model.get(&key)) {
                        (Expect::Absent, _) | (Expect::Current, None) => None,
                        (Expect::Current, Some((_, version))) => Some(*version),
                        (Expect::Stale, _) => Some(Version::new(u64::MAX)),
                    };
                    commit = commit.check(Check { key, expected });
                }
                for (name, value) in writes {
                    let write = value.map_or(Write::Delete, |value| Write::Put(value.into()));
                    commit = commit.write(named(name), write);
                }
                let expected = model_commit(&model, &commit);
                let version = store.commit(commit.clone()).await;
                prop_assert_eq!(version.clone().map(|_| ()), expected);
                if let Ok(version) = version {
                    model_write(&mut model, &commit, version);
                }
            }
            Step::Get(name) => {
                let found = store.get(&named(name)).await.unwrap();
                let found = found.map(|record| (record.value.to_vec(), record.version));
                prop_assert_eq!(found, model.get(&named(name)).cloned());
            }
            Step::Scan { prefix, after, limit } => {
                let (prefix, after) = (format!("{base}{prefix}"), after.map(named));
                let found = store.scan(prefix.as_bytes(), after.as_ref(), limit).await.unwrap();
                let found: Vec<_> = found
                    .into_iter()
                    .map(|record| (record.key, (record.value.to_vec(), record.version)))
                    .collect();
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()))
                    .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
                    .take(limit)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
    Ok(())
}

fn model_commit(model: &Model, commit: &Commit) -> Result<(), CommitError> {
    let fails =
        |check: &&Check| model.get(&check.key).map(|(_, version)| *version) != check.expected;
    match commit.checks().iter().find(fails) {
        Some(failed) => Err(CommitError::Conflict { key: failed.key.clone() }),
        None => Ok(()),
    }
}

fn model_write(model: &mut Model, commit: &Commit, version: Version) {
    for (key, write) in commit.writes() {
        match write {
            Write::Put(value) => {
                model.insert(key.clone(), (value.to_vec(), version));
            }
            Write::Delete => {
                model.remove(key);
            }
        }
    }
}
