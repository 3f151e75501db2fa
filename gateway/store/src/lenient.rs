//! Reading for people: a record that is damaged is passed over, named and counted, and does not hide the others.
//!
//! It is for listings. What decides something is read with [`Store::get`] and [`Store::scan`], which fail where a
//! record is damaged: revocations, CRLs, keys that are blocked, trust, tokens, what policies look up.

use crate::{Key, ReadError, Record, Store};

/// What a listing finds.
#[derive(Debug, Default)]
pub struct Found {
    /// The records that are good, in the order of their keys.
    pub records: Vec<Record>,
    /// The keys of those that are not.
    pub damaged: Vec<Key>,
    /// After which key to go on; none if there is nothing more.
    pub next: Option<Key>,
}

/// As [`Store::scan`], but passes over records that are damaged. `limit` counts those too.
///
/// # Errors
/// [`ReadError`], but not for a damaged record.
pub async fn scan(
    store: &dyn Store,
    prefix: &[u8],
    after: Option<&Key>,
    limit: usize,
) -> Result<Found, ReadError> {
    let mut found = Found::default();
    match store.scan(prefix, after, limit).await {
        Ok(records) => {
            if records.len() == limit {
                found.next = records.last().map(|last| last.key.clone());
            }
            found.records = records;
        }
        Err(ReadError::Damaged { .. }) => {
            let keys = store.keys(prefix, after, limit).await?;
            for key in &keys {
                match store.get(key).await {
                    Ok(record) => found.records.extend(record),
                    Err(error) => found.damaged.push(pass_over(error)?),
                }
            }
            if keys.len() == limit {
                found.next = keys.into_iter().next_back();
            }
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// Passes over a record that is damaged, and gives its key.
///
/// # Errors
/// Every other error.
pub fn pass_over(error: ReadError) -> Result<Key, ReadError> {
    match error {
        ReadError::Damaged { key, reason } => {
            metrics::counter!("chancery_store_damaged_records_total").increment(1);
            tracing::warn!(target: "store", %key, reason, "passed over a damaged record");
            Ok(key)
        }
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use crate::{BoxFuture, Commit, CommitError, Version, Watch};

    /// A store in which records whose value is `bad` are damaged.
    struct Damaging(MemoryStore);

    fn look(record: Record) -> Result<Record, ReadError> {
        if record.value == "bad" {
            return Err(ReadError::Damaged { key: record.key, reason: "it is bad".to_owned() });
        }
        Ok(record)
    }

    impl Store for Damaging {
        fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
            Box::pin(async move { self.0.get(key).await?.map(look).transpose() })
        }

        fn scan<'a>(
            &'a self,
            prefix: &'a [u8],
            after: Option<&'a Key>,
            limit: usize,
        ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
            let found = self.0.scan(prefix, after, limit);
            Box::pin(async move { found.await?.into_iter().map(look).collect() })
        }

        fn keys<'a>(
            &'a self,
            prefix: &'a [u8],
            after: Option<&'a Key>,
            limit: usize,
        ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
            self.0.keys(prefix, after, limit)
        }

        fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
            self.0.commit(commit)
        }

        fn watch(&self, prefix: &[u8]) -> Watch {
            self.0.watch(prefix)
        }

        fn now(&self) -> BoxFuture<'_, Result<jiff::Timestamp, ReadError>> {
            self.0.now()
        }
    }

    #[tokio::test]
    async fn damaged_records_are_named_and_hide_no_others_page_by_page() {
        let store = Damaging(MemoryStore::new());
        let mut commit = Commit::new();
        for n in 0..10 {
            let value = if [0, 3, 4, 9].contains(&n) { "bad" } else { "good" };
            commit = commit.put(Key::new(format!("t/{n}")).unwrap(), value);
        }
        store.commit(commit).await.unwrap();
        store.scan(b"t/", None, 10).await.unwrap_err();
        for limit in [1, 2, 3, 7, 10, 100] {
            let (mut good, mut bad, mut after) = (vec![], vec![], None);
            loop {
                let found = scan(&store, b"t/", after.as_ref(), limit).await.unwrap();
                assert!(found.records.len() + found.damaged.len() <= limit);
                good.extend(found.records.iter().map(|record| record.key.to_string()));
                bad.extend(found.damaged.iter().map(ToString::to_string));
                match found.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(good, ["t/1", "t/2", "t/5", "t/6", "t/7", "t/8"], "in pages of {limit}");
            assert_eq!(bad, ["t/0", "t/3", "t/4", "t/9"], "in pages of {limit}");
        }
    }

    #[test]
    fn only_damage_is_passed_over() {
        let unavailable = ReadError::Unavailable("the disk is gone".to_owned());
        assert_eq!(pass_over(unavailable.clone()), Err(unavailable));
    }
}
