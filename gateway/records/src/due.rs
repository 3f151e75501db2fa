//! Work that happens by itself, in the order of time: expiry, rotation, retries, sweeps.

use std::time::Duration;

use chancery_store::{
    Commit, CommitError, InvalidKey, Key, ReadError, Record, SharedStore, Version,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::{Recorded, decode, encode};

/// How many entries are read at once, at most.
const PAGE: usize = 100;

/// A queue of what is due. Its entries' keys are `PREFIX`, a moment and an id; the id leads to the
/// record that says what to do.
///
/// An entry is added in the commit that makes it necessary and goes in the commit that does the work,
/// so that nothing is forgotten and nothing is done twice, whichever gateway does it. Work that has
/// effects outside the store [claims](Self::claim) the entry first.
pub struct Due {
    store: SharedStore,
    prefix: String,
}

/// An entry of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEntry {
    /// When it is due, in whole milliseconds.
    pub at: Timestamp,
    /// What it leads to.
    pub id: String,
    key: Key,
    version: Version,
}

/// Until when somebody works on an entry. An entry without an owner is empty.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    until: Timestamp,
}

impl Recorded for Claim {}

impl Due {
    /// The queue below `prefix`, which ends with a slash by convention.
    pub fn new(store: SharedStore, prefix: impl Into<String>) -> Self {
        Self { store, prefix: prefix.into() }
    }

    /// Where the entry for this moment and id is.
    ///
    /// # Errors
    /// If the key would be too long.
    pub fn key(&self, at: Timestamp, id: &str) -> Result<Key, InvalidKey> {
        Key::new(format!("{}{:016x}/{id}", self.prefix, millis(at)))
    }

    /// Adds an entry in this commit.
    ///
    /// # Errors
    /// If its key would be too long.
    pub fn add(&self, commit: Commit, at: Timestamp, id: &str) -> Result<Commit, InvalidKey> {
        Ok(commit.put(self.key(at, id)?, ""))
    }

    /// What is due at `now` and owned by nobody, the oldest first, at most `most` entries. Of what is not due, few
    /// entries are read: one if nothing is due, and else not more than three times as many as are due.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Damaged`] for an entry that is not what this queue writes.
    pub async fn entries(&self, now: Timestamp, most: usize) -> Result<Vec<DueEntry>, ReadError> {
        let mut found = Vec::new();
        let (mut size, mut after) = (1, None);
        loop {
            let page = self.store.scan(self.prefix.as_bytes(), after.as_ref(), size).await?;
            let is_last = page.len() < size;
            for record in page {
                let entry = self.entry(&record)?;
                if entry.at > now || found.len() == most {
                    return Ok(found);
                }
                if !is_owned(&record, now)? {
                    found.push(entry);
                }
                after = Some(record.key);
            }
            if is_last {
                return Ok(found);
            }
            size = PAGE.min(size * 2);
        }
    }

    /// When the first entry is due, owned or not; none if the queue is empty.
    ///
    /// # Errors
    /// As for [`entries`](Self::entries).
    pub async fn next(&self) -> Result<Option<Timestamp>, ReadError> {
        let first = self.store.scan(self.prefix.as_bytes(), None, 1).await?;
        first.first().map(|record| self.entry(record).map(|entry| entry.at)).transpose()
    }

    /// Makes the caller the owner of the entry for a time, so that nobody else does its work. None if
    /// somebody else was faster. If the owner vanishes, the entry is anybody's after that time.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn claim(
        &self,
        entry: DueEntry,
        length: Duration,
    ) -> Result<Option<DueEntry>, CommitError> {
        let now = self.store.now().await?;
        let until = now.checked_add(length).unwrap_or(Timestamp::MAX);
        let claim = Claim { until };
        let commit = Commit::new()
            .check_version(entry.key.clone(), entry.version)
            .put(entry.key.clone(), encode(&entry.key, &claim)?);
        match self.store.commit(commit).await {
            Ok(version) => Ok(Some(DueEntry { version, ..entry })),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an entry in the commit that does its work. The commit fails with a conflict if somebody
    /// else did it or owns the entry by now.
    #[must_use]
    pub fn done(commit: Commit, entry: &DueEntry) -> Commit {
        commit.check_version(entry.key.clone(), entry.version).delete(entry.key.clone())
    }

    /// Moves an entry to a later moment in this commit, with the same check.
    ///
    /// # Errors
    /// If its key would be too long.
    pub fn postpone(
        &self,
        commit: Commit,
        entry: &DueEntry,
        at: Timestamp,
    ) -> Result<Commit, InvalidKey> {
        self.add(Self::done(commit, entry), at, &entry.id)
    }

    fn entry(&self, record: &Record) -> Result<DueEntry, ReadError> {
        let parts = || {
            let text = std::str::from_utf8(record.key.as_bytes()).ok()?;
            let (moment, id) = text.strip_prefix(self.prefix.as_str())?.split_once('/')?;
            let moment = i64::from_str_radix(moment, 16).ok()?;
            Some((Timestamp::from_millisecond(moment).ok()?, id.to_owned()))
        };
        let (at, id) = parts().ok_or_else(|| ReadError::Damaged {
            key: record.key.clone(),
            reason: "its key does not say when it is due".to_owned(),
        })?;
        Ok(DueEntry { at, id, key: record.key.clone(), version: record.version })
    }
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Due").field(&self.prefix).finish()
    }
}

fn is_owned(record: &Record, now: Timestamp) -> Result<bool, ReadError> {
    if record.value.is_empty() {
        return Ok(false);
    }
    Ok(decode::<Claim>(record)?.value.until > now)
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_identity::Clock;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;
    use std::sync::Arc;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn queue() -> (MemoryStore, Clock, Due) {
        let clock = Clock::manual(at(100));
        let store = MemoryStore::with_clock(clock.clone());
        (store.clone(), clock, Due::new(Arc::new(store), "t/due/"))
    }

    async fn add(store: &MemoryStore, due: &Due, entries: &[(i64, &str)]) {
        let each = |commit, (second, id): &(i64, &str)| due.add(commit, at(*second), id).unwrap();
        store.commit(entries.iter().fold(Commit::new(), each)).await.unwrap();
    }

    async fn ids(due: &Due, now: i64, most: usize) -> Vec<String> {
        due.entries(at(now), most).await.unwrap().into_iter().map(|entry| entry.id).collect()
    }

    #[tokio::test]
    async fn what_is_due_comes_in_the_order_of_time() {
        let (store, _, due) = queue();
        assert_eq!(due.next().await.unwrap(), None);
        add(&store, &due, &[(90, "b/x"), (9, "c"), (100, "d"), (101, "later")]).await;
        assert_eq!(ids(&due, 100, 10).await, ["c", "b/x", "d"]);
        assert_eq!(ids(&due, 100, 2).await, ["c", "b/x"]);
        assert_eq!(due.next().await.unwrap(), Some(at(9)));
        assert!(ids(&due, 8, 10).await.is_empty());
    }

    #[tokio::test]
    async fn little_is_read_of_what_is_not_due() {
        let (store, _, due) = queue();
        let entries: Vec<_> = (0..300).map(|at| (at, "a")).collect();
        add(&store, &due, &entries).await;
        for (now, count) in [(-1, 0), (0, 1), (4, 5), (149, 150), (299, 300)] {
            let before = store.reads();
            let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(now);
            assert_eq!(due.entries(now, 1000).await.unwrap().len(), count);
            let read = store.reads() - before;
            assert!(read <= 3 * count + 1, "{count} are due and {read} were read");
        }
    }

    #[tokio::test]
    async fn work_is_done_once() {
        let (store, _, due) = queue();
        add(&store, &due, &[(1, "a")]).await;
        let entry = due.entries(at(1), 1).await.unwrap().remove(0);
        store.commit(Due::done(Commit::new(), &entry)).await.unwrap();
        let again = store.commit(Due::done(Commit::new(), &entry)).await;
        assert!(matches!(again, Err(CommitError::Conflict { .. })));
        assert!(ids(&due, 100, 10).await.is_empty());
    }

    #[tokio::test]
    async fn what_is_postponed_comes_again() {
        let (store, _, due) = queue();
        add(&store, &due, &[(1, "a")]).await;
        let entry = due.entries(at(1), 1).await.unwrap().remove(0);
        let later = due.postpone(Commit::new(), &entry, at(50)).unwrap();
        store.commit(later).await.unwrap();
        assert!(ids(&due, 49, 10).await.is_empty());
        assert_eq!(ids(&due, 50, 10).await, ["a"]);
    }

    #[tokio::test]
    async fn an_owner_that_vanishes_is_followed_by_another() {
        let (store, clock, due) = queue();
        add(&store, &due, &[(1, "a"), (2, "b")]).await;
        let entry = due.entries(at(100), 1).await.unwrap().remove(0);
        let minute = Duration::from_mins(1);
        let owned = due.claim(entry.clone(), minute).await.unwrap().unwrap();
        assert!(due.claim(entry, minute).await.unwrap().is_none());
        assert_eq!(ids(&due, 100, 10).await, ["b"], "the other entry is free");
        clock.advance(minute);
        let entry = due.entries(clock.now(), 1).await.unwrap().remove(0);
        assert_eq!(entry.id, "a");
        let taken = due.claim(entry, minute).await.unwrap().unwrap();
        let late = store.commit(Due::done(Commit::new(), &owned)).await;
        assert!(matches!(late, Err(CommitError::Conflict { .. })), "the first one is too late");
        store.commit(Due::done(Commit::new(), &taken)).await.unwrap();
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_read_is_named() {
        let (store, _, due) = queue();
        let odd = Key::new("t/due/soon/a").unwrap();
        store.commit(Commit::new().put(odd.clone(), "")).await.unwrap();
        let refused = due.entries(at(1), 1).await.unwrap_err();
        assert!(matches!(refused, ReadError::Damaged { key, .. } if key == odd));
    }
}
