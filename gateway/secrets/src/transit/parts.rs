//! Storing a key whose private halves are too many for one commit, so that a crash in between leaves none of them for
//! ever.
//!
//! Before the first of them an entry says which they are. The commit with the key's record, which is the last one,
//! removes it. An entry that is old belongs to a restore that did not come to its end: what it names is removed.

use chancery_identity::TenantId;
use chancery_store::{Commit, Key, Store, Version, lenient};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::TransitError;
use super::error::unless_damaged;
use super::storage::secret;

/// What the entries begin with, in the order of time.
const UNFINISHED: &str = "_/secrets/transit-unfinished/";

/// How long a restore may take, in seconds.
const LONGEST: i64 = 3600;

/// How many records are removed in one commit.
const PAGE: usize = 1000;

/// A key's record with its private halves, to be stored.
pub(super) struct Parts {
    pub(super) record: Commit,
    pub(super) materials: Vec<(Key, Zeroizing<Vec<u8>>)>,
}

impl Parts {
    /// Commits them: in several commits, the record last, if they are more than `most` bytes. Without the record
    /// there is no key.
    ///
    /// # Errors
    /// Then there is no key, and what was stored of it is removed, or is going to be.
    pub(super) async fn keep(
        self,
        store: &dyn Store,
        tenant: &TenantId,
        now: Timestamp,
        most: usize,
    ) -> Result<(), TransitError> {
        let Self { mut record, materials } = self;
        let bytes: usize = materials.iter().map(|(_, material)| material.len() + 256).sum();
        if bytes + record.len_bytes() <= most {
            for (at, material) in materials {
                record = record.put(at, secret(material));
            }
            store.commit(record).await?;
            return Ok(());
        }
        let names: Vec<String> = materials.iter().map(|(at, _)| at.to_string()).collect();
        let Some(first) = names.first().and_then(|name| name.rsplit('/').next()) else {
            store.commit(record).await?;
            return Ok(());
        };
        let entry =
            Key::new(format!("{UNFINISHED}{:012}/{tenant}/{first}", now.as_second().max(0)))?;
        let list =
            serde_json::to_vec(&names).map_err(|_| TransitError::Record(entry.to_string()))?;
        let begun =
            store.commit(Commit::new().check_absent(entry.clone()).put(entry.clone(), list));
        let begun = begun.await?;
        let record = record.check_version(entry.clone(), begun).delete(entry.clone());
        let stored = commit_all(store, parts(materials, most / 2), record).await;
        if let Err(error) = stored {
            if let Err(error) = remove(store, &entry, begun, names).await {
                tracing::warn!(%error, "private halves of a key that was not restored stay for an hour");
            }
            return Err(error);
        }
        Ok(())
    }
}

async fn commit_all(
    store: &dyn Store,
    parts: Vec<Commit>,
    record: Commit,
) -> Result<(), TransitError> {
    for part in parts.into_iter().chain([record]) {
        store.commit(part).await?;
    }
    Ok(())
}

/// Commits of about so many bytes.
fn parts(materials: Vec<(Key, Zeroizing<Vec<u8>>)>, bytes: usize) -> Vec<Commit> {
    let (mut parts, mut part) = (vec![], Commit::new());
    for (at, material) in materials {
        if part.len_bytes() + material.len() > bytes && !part.writes().is_empty() {
            parts.push(std::mem::take(&mut part));
        }
        part = part.put(at, secret(material));
    }
    parts.push(part);
    parts
}

/// Removes what is left of restores that did not come to their end. An entry that cannot be read is passed over: it
/// must not keep keys from being rotated.
///
/// # Errors
/// If the store fails.
pub(super) async fn sweep(store: &dyn Store, now: Timestamp) -> Result<(), TransitError> {
    let before = format!("{UNFINISHED}{:012}", now.as_second().saturating_sub(LONGEST).max(0));
    // One after the other: each of them is gone then.
    let mut after = None::<Key>;
    while let Some(key) = store.keys(UNFINISHED.as_bytes(), after.as_ref(), 1).await?.pop() {
        if key.as_bytes() >= before.as_bytes() {
            break;
        }
        after = Some(key.clone());
        let entry = match store.get(&key).await {
            Ok(entry) => entry,
            Err(error) => {
                drop(lenient::pass_over(error)?);
                continue;
            }
        };
        let Some(entry) = entry else { continue };
        let Ok(names) = serde_json::from_slice::<Vec<String>>(&entry.value) else {
            tracing::error!(%key, "what an interrupted restore has left stays, since its list is no list");
            continue;
        };
        tracing::info!(
            count = names.len(),
            "removing what is left of a restore that was interrupted"
        );
        unless_damaged(&key, remove(store, &key, entry.version, names).await)?;
    }
    Ok(())
}

/// Removes what an entry names, and then the entry.
async fn remove(
    store: &dyn Store,
    entry: &Key,
    version: Version,
    names: Vec<String>,
) -> Result<(), TransitError> {
    let list = serde_json::to_vec(&names).map_err(|_| TransitError::Record(entry.to_string()))?;
    // From here on a restore that is only slow cannot end any more.
    let taken = Commit::new().check_version(entry.clone(), version).put(entry.clone(), list);
    let taken = store.commit(taken).await?;
    for page in names.chunks(PAGE) {
        let mut commit = Commit::new().check_version(entry.clone(), taken);
        for name in page {
            let at = name.parse().map_err(|_| TransitError::Record(entry.to_string()))?;
            commit = commit.delete(at);
        }
        store.commit(commit).await?;
    }
    store.commit(Commit::new().check_version(entry.clone(), taken).delete(entry.clone())).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chancery_store::memory::MemoryStore;

    use super::*;

    /// So little fits into a commit that there are five parts and the entry.
    const MOST: usize = 5_000;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn parts() -> Parts {
        let material = |number: u8| {
            let at = key(&format!("default/secrets/transit-material/{number}"));
            (at, Zeroizing::new(vec![number; 1000]))
        };
        let name = key("default/secrets/transit-key/transit/orders");
        let record = Commit::new().check_absent(name.clone()).put(name, "the record");
        Parts { record, materials: (0..10).map(material).collect() }
    }

    async fn keep(store: &MemoryStore, now: i64) -> Result<(), TransitError> {
        parts().keep(store, &TenantId::default_tenant(), at(now), MOST).await
    }

    async fn count(store: &MemoryStore, prefix: &str) -> usize {
        store.scan(prefix.as_bytes(), None, 100).await.unwrap().len()
    }

    /// The whole key and nothing else.
    async fn is_whole(store: &MemoryStore) -> bool {
        count(store, "default/secrets/transit-key/").await == 1
            && count(store, "default/secrets/transit-material/").await == 10
            && count(store, "").await == 11
    }

    #[tokio::test]
    async fn a_crash_at_any_moment_leaves_the_whole_key_or_nothing_for_long() {
        let mut commits = 0;
        loop {
            let store = MemoryStore::new();
            store.stop_after(Some(commits));
            let kept = keep(&store, 0).await;
            store.stop_after(None);
            if kept.is_ok() {
                assert!(is_whole(&store).await);
                break;
            }
            assert_eq!(count(&store, "default/secrets/transit-key/").await, 0, "after {commits}");
            let left = count(&store, "").await;
            assert!(left > 0 || commits == 0);
            // It may still be running.
            sweep(&store, at(LONGEST)).await.unwrap();
            assert_eq!(count(&store, "").await, left);
            // The sweep may be interrupted as well.
            for allowed in 0..3 {
                store.stop_after(Some(allowed));
                let _ = sweep(&store, at(LONGEST + 1)).await;
                store.stop_after(None);
            }
            sweep(&store, at(LONGEST + 1)).await.unwrap();
            assert_eq!(count(&store, "").await, 0, "after {commits}");
            keep(&store, LONGEST + 1).await.unwrap();
            assert!(is_whole(&store).await);
            commits += 1;
        }
        assert!(commits > 5, "{commits}");
    }

    #[tokio::test]
    async fn an_entry_that_cannot_be_read_keeps_no_others() {
        let store = MemoryStore::new();
        store.stop_after(Some(3));
        keep(&store, 1).await.unwrap_err();
        store.stop_after(None);
        let damaged = key(&format!("{UNFINISHED}{:012}/default/damaged", 0));
        store.commit(Commit::new().put(damaged, "no list")).await.unwrap();
        sweep(&store, at(LONGEST + 2)).await.unwrap();
        assert_eq!(count(&store, "").await, 1, "what cannot be read is all that is left");
    }

    #[tokio::test]
    async fn one_that_is_tried_again_at_once_does_not_wait_for_the_first() {
        let store = MemoryStore::new();
        store.stop_after(Some(3));
        keep(&store, 0).await.unwrap_err();
        store.stop_after(None);
        // Each restore gives the private halves names of their own; here they are the same.
        keep(&store, 1).await.unwrap();
        assert_eq!(count(&store, "default/secrets/transit-key/").await, 1);
    }

    #[tokio::test]
    async fn a_restore_that_takes_too_long_makes_no_key_without_its_private_halves() {
        let store = MemoryStore::new();
        let Parts { record, materials } = parts();
        let names: Vec<String> = materials.iter().map(|(at, _)| at.to_string()).collect();
        let entry = key(&format!("{UNFINISHED}{:012}/default/0", 0));
        let list = serde_json::to_vec(&names).unwrap();
        let begun = store.commit(Commit::new().put(entry.clone(), list)).await.unwrap();
        sweep(&store, at(LONGEST + 1)).await.unwrap();
        let record = record.check_version(entry.clone(), begun).delete(entry);
        store.commit(record).await.unwrap_err();
        assert_eq!(count(&store, "").await, 0);
    }
}
