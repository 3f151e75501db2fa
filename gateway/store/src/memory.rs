//! A store that keeps everything in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chancery_identity::Clock;
use jiff::Timestamp;

use crate::{
    BoxFuture, Check, Commit, CommitError, Key, ReadError, Record, Store, Version, Watch, Watchers,
    Write,
};

/// A [`Store`] in memory. Clones share their records.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    watchers: Watchers,
    clock: Clock,
    reads: AtomicUsize,
}

#[derive(Debug, Clone, Default)]
struct State {
    records: BTreeMap<Key, (Bytes, Version)>,
    newest: u64,
    full: bool,
    left: Option<usize>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty store whose [time](Store::now) is that of this clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self::with_state(State::default(), clock)
    }

    fn with_state(state: State, clock: Clock) -> Self {
        let (state, watchers) = (Mutex::new(state), Watchers::default());
        let reads = AtomicUsize::new(0);
        Self { shared: Arc::new(Shared { state, watchers, clock, reads }) }
    }

    /// Makes every commit that writes something fail with [`CommitError::Full`], or stops doing so:
    /// a full disk for the tests of those who must not answer before a commit is durable.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Makes every commit fail with [`CommitError::Unavailable`] once so many were made, or stops doing so: what is
    /// left by a process that ends between two commits, for the tests of those who need several.
    pub fn stop_after(&self, commits: Option<usize>) {
        self.lock().left = commits;
    }

    /// How many records and keys were read so far, for the tests of those who should read few.
    pub fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::Relaxed)
    }

    fn count_reads(&self, count: usize) {
        self.shared.reads.fetch_add(count, Ordering::Relaxed);
    }

    /// A store of its own with the records as they are now: what a backup would be.
    #[must_use]
    pub fn backup(&self) -> Self {
        let state = self.lock().clone();
        Self::with_state(state, self.shared.clock.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, commit: &Commit) -> Result<Version, CommitError> {
        commit.check_size()?;
        let mut state = self.lock();
        if let Some(failed) = commit.checks().iter().find(|check| !state.holds(check)) {
            return Err(CommitError::Conflict { key: failed.key.clone() });
        }
        if commit.writes().is_empty() {
            return Ok(Version::new(state.newest));
        }
        if state.full {
            return Err(CommitError::Full);
        }
        state.left = match state.left {
            Some(0) => return Err(CommitError::Unavailable("the store has stopped".to_owned())),
            left => left.map(|left| left - 1),
        };
        state.newest += 1;
        let version = Version::new(state.newest);
        for (key, write) in commit.writes() {
            match write {
                Write::Put(value) => {
                    state.records.insert(key.clone(), (value.clone(), version));
                }
                Write::Delete => {
                    state.records.remove(key);
                }
            }
        }
        // Published under the lock, so that watches see commits in their order.
        self.shared.watchers.publish(commit, version);
        Ok(version)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn holds(&self, check: &Check) -> bool {
        self.records.get(&check.key).map(|(_, version)| *version) == check.expected
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            self.count_reads(1);
            Ok(self.lock().records.get(key).map(|(value, version)| Record {
                key: key.clone(),
                value: value.clone(),
                version: *version,
            }))
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            let start = match after {
                Some(after) if after.as_bytes() >= prefix => Bound::Excluded(after.as_bytes()),
                _ => Bound::Included(prefix),
            };
            let found: Vec<_> = self
                .lock()
                .records
                .range::<[u8], _>((start, Bound::Unbounded))
                .take_while(|(key, _)| key.as_bytes().starts_with(prefix))
                .take(limit)
                .map(|(key, (value, version))| Record {
                    key: key.clone(),
                    value: value.clone(),
                    version: *version,
                })
                .collect();
            self.count_reads(found.len());
            Ok(found)
        })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        let found = self.scan(prefix, after, limit);
        Box::pin(async move { Ok(found.await?.into_iter().map(|record| record.key).collect()) })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        Box::pin(async move { self.apply(&commit) })
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.shared.watchers.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        Box::pin(async { Ok(self.shared.clock.now()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::conformance_battery!((Arc::new(MemoryStore::new()), ()));

    #[tokio::test]
    async fn a_full_store_keeps_what_it_has() {
        let store = MemoryStore::new();
        let key = Key::new("k").unwrap();
        store.commit(Commit::new().put(key.clone(), "1")).await.unwrap();
        store.set_full(true);
        let refused = store.commit(Commit::new().put(key.clone(), "2")).await;
        assert_eq!(refused, Err(CommitError::Full));
        assert_eq!(&store.get(&key).await.unwrap().unwrap().value[..], b"1");
        store.set_full(false);
        store.commit(Commit::new().put(key, "2")).await.unwrap();
    }
}
