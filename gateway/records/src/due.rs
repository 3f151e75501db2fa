//! Work that happens by itself, in the order of time: expiry, rotation, retries, sweeps.

use std::time::Duration;

use chancery_store::{
    Commit, CommitError, InvalidKey, Key, ReadError, Record, SharedStore, Version, lenient,
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
    /// keys are read: one if nothing is due, and else not more than three times as many as are due. An entry that is
    /// damaged is passed over: it must not keep the others.
    ///
    /// # Errors
    /// [`ReadError`], but not for a damaged entry.
    pub async fn entries(&self, now: Timestamp, most: usize) -> Result<Vec<DueEntry>, ReadError> {
        let mut found = Vec::new();
        let (mut size, mut after) = (1, None);
        loop {
            let page = self.store.keys(self.prefix.as_bytes(), after.as_ref(), size).await?;
            let is_last = page.len() < size;
            after = page.last().cloned();
            for key in page {
                let (at, id) = match self.parse(&key) {
                    Ok((at, _)) if at > now => return Ok(found),
                    Ok(parsed) => parsed,
                    Err(error) => {
                        lenient::pass_over(error)?;
                        continue;
                    }
                };
                if found.len() == most {
                    return Ok(found);
                }
                match self.unowned(&key, now).await {
                    Ok(Some(version)) => found.push(DueEntry { at, id, key, version }),
                    // Somebody owns it, or has done its work meanwhile.
                    Ok(None) => {}
                    Err(error) => drop(lenient::pass_over(error)?),
                }
            }
            if is_last {
                return Ok(found);
            }
            size = PAGE.min(size * 2);
        }
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

    /// When an entry is due and what it leads to.
    fn parse(&self, key: &Key) -> Result<(Timestamp, String), ReadError> {
        let parts = || {
            let text = std::str::from_utf8(key.as_bytes()).ok()?;
            let (moment, id) = text.strip_prefix(self.prefix.as_str())?.split_once('/')?;
            // Only as it is written here: another form of a time stands in another place.
            let moment = (moment.len() == 16 && !moment.starts_with(['+', '-']))
                .then(|| i64::from_str_radix(moment, 16).ok())??;
            Some((Timestamp::from_millisecond(moment).ok()?, id.to_owned()))
        };
        parts().ok_or_else(|| ReadError::Damaged {
            key: key.clone(),
            reason: "its key does not say when it is due".to_owned(),
        })
    }

    /// The version of an entry that nobody owns.
    async fn unowned(&self, key: &Key, now: Timestamp) -> Result<Option<Version>, ReadError> {
        let Some(record) = self.store.get(key).await? else { return Ok(None) };
        Ok((!is_owned(&record, now)?).then_some(record.version))
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
        add(&store, &due, &[(90, "b/x"), (9, "c"), (100, "d"), (101, "later")]).await;
        assert_eq!(ids(&due, 100, 10).await, ["c", "b/x", "d"]);
        assert_eq!(ids(&due, 100, 2).await, ["c", "b/x"]);
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
    async fn an_entry_that_is_damaged_does_not_keep_the_others() {
        let (store, _, due) = queue();
        add(&store, &due, &[(1, "a"), (2, "damaged"), (3, "c")]).await;
        let damaged = due.key(at(2), "damaged").unwrap();
        // The third would be due far in the future, and stands before all others.
        let odd = ["t/due/.", "t/due/soon/a", "t/due/00000000000000000000ffffffffffff/x"]
            .map(|key| Key::new(key).unwrap());
        let commit = Commit::new().put(damaged, "no claim");
        store.commit(odd.into_iter().fold(commit, |all, key| all.put(key, ""))).await.unwrap();
        assert_eq!(ids(&due, 100, 10).await, ["a", "c"]);
    }
}
