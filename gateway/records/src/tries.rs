//! Read, decide, commit; and again if somebody else's commit came first.

use chancery_store::{Commit, CommitError, Store, Version};

/// How often it is tried. A conflict means that somebody else's commit was made, so that of those who
/// try one always gets on; a hundred in a row are a fault.
const MOST: usize = 100;

/// The tries of a change that others may be faster with.
///
/// ```
/// # use chancery_records::Tries;
/// # use chancery_store::{Commit, CommitError, Key, Store};
/// async fn append(store: &dyn Store, key: Key, what: &[u8]) -> Result<(), CommitError> {
///     let mut tries = Tries::default();
///     loop {
///         // Everything that the decision rests on is read in each try.
///         let (mut value, commit) = match store.get(&key).await? {
///             Some(record) => {
///                 let commit = Commit::new().check_version(key.clone(), record.version);
///                 (record.value.to_vec(), commit)
///             }
///             None => (Vec::new(), Commit::new().check_absent(key.clone())),
///         };
///         value.extend(what);
///         if tries.commit(store, commit.put(key.clone(), value)).await?.is_some() {
///             return Ok(());
///         }
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Tries(usize);

impl Tries {
    /// Makes the commit. None if it met a conflict and is to be tried again.
    ///
    /// # Errors
    /// [`CommitError`]: a [`CommitError::Conflict`] only after the hundredth try.
    pub async fn commit(
        &mut self,
        store: &dyn Store,
        commit: Commit,
    ) -> Result<Option<Version>, CommitError> {
        self.0 += 1;
        match store.commit(commit).await {
            Ok(version) => Ok(Some(version)),
            Err(CommitError::Conflict { .. }) if self.0 < MOST => {
                tokio::task::yield_now().await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_store::Key;
    use chancery_store::memory::MemoryStore;

    async fn add_one(store: &MemoryStore, key: &Key) -> Result<u64, CommitError> {
        let mut tries = Tries::default();
        loop {
            let record = store.get(key).await?;
            // Lets the others read the same state.
            tokio::task::yield_now().await;
            let (count, commit) = match record {
                Some(record) => {
                    let count: u64 = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
                    (count, Commit::new().check_version(key.clone(), record.version))
                }
                None => (0, Commit::new().check_absent(key.clone())),
            };
            let commit = commit.put(key.clone(), (count + 1).to_string());
            if tries.commit(store, commit).await?.is_some() {
                return Ok(count + 1);
            }
        }
    }

    #[tokio::test]
    async fn of_many_who_change_one_record_none_is_lost() {
        let store = MemoryStore::new();
        let key = Key::new("t/count").unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, key) = (store.clone(), key.clone());
            tasks.spawn(async move { add_one(&store, &key).await.unwrap() });
        }
        let mut seen = tasks.join_all().await;
        seen.sort_unstable();
        assert_eq!(seen, (1..=20).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn it_gives_up_in_the_end_and_says_which_record_it_was() {
        let store = MemoryStore::new();
        let key = Key::new("t/busy").unwrap();
        store.commit(Commit::new().put(key.clone(), "x")).await.unwrap();
        let mut tries = Tries::default();
        for _ in 1..MOST {
            let commit = Commit::new().check_absent(key.clone());
            assert_eq!(tries.commit(&store, commit).await, Ok(None));
        }
        let refused = tries.commit(&store, Commit::new().check_absent(key.clone())).await;
        assert_eq!(refused, Err(CommitError::Conflict { key }));
    }
}
