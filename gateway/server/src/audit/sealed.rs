//! What the sealed store has of the audit log: its key, and the mark that says how far it had come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use chancery_audit::{AuditKey, KnownMark, Mark, Marks, WriteMark};
use chancery_store::{Commit, CommitError, Key, SharedStore, Store};
use zeroize::Zeroizing;

use crate::gateway_name::GatewayName;

/// Where the records of the audit log are.
const PLACE: &str = "_/audit/";
/// How many bytes the key has.
const KEY_BYTES: usize = 32;
/// What follows the key since there are marks. So a mark that is gone is no mark that never was.
const WITH_MARKS: u8 = 2;

/// Whose audit log it is: each gateway has a chain of its own, with a key and a mark of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chain {
    /// That of the only gateway on its store.
    Only,
    /// That of one of several gateways on one store.
    Of(GatewayName),
}

impl Chain {
    /// The record with the log's key.
    fn key(&self) -> Result<Key> {
        self.record("key")
    }

    /// The record with its mark.
    fn mark(&self) -> Result<Key> {
        self.record("mark")
    }

    fn record(&self, what: &str) -> Result<Key> {
        Ok(match self {
            Self::Only => Key::new(format!("{PLACE}{what}"))?,
            Self::Of(gateway) => Key::new(format!("{PLACE}gateways/{gateway}/{what}"))?,
        })
    }
}

/// The audit log's records in the store.
pub(crate) struct Sealed {
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) marks: Marks,
}

impl Sealed {
    /// Reads the records, or makes them on the first start.
    ///
    /// # Errors
    /// The store cannot be read or written, or what is there is damaged.
    pub(crate) async fn open(store: &SharedStore, chain: &Chain) -> Result<Self> {
        if let Some(sealed) = Self::read(store, chain).await? {
            return Ok(sealed);
        }
        let mut fresh = Zeroizing::new(vec![0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut fresh).context("the system gives no randomness")?;
        let (key, mark) = (chain.key()?, chain.mark()?);
        let commit = Commit::new()
            .check_absent(key.clone())
            .check_absent(mark.clone())
            .put(key, record(&fresh).to_vec())
            .put(mark, Mark::start().encode());
        match store.commit(commit).await {
            Ok(_) => {
                let known = KnownMark::At(Mark::start());
                Ok(Self {
                    marks: Marks { known, write: writer(store, chain, &fresh, true)? },
                    key: fresh,
                })
            }
            Err(error @ CommitError::Conflict { .. }) => Err(error).context(
                "the audit log's key was made by somebody else, or only its mark is there",
            ),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the records; none if the gateway never started.
    ///
    /// # Errors
    /// The store cannot be read, or what is there is damaged.
    pub(crate) async fn read(store: &SharedStore, chain: &Chain) -> Result<Option<Self>> {
        let Some(found) = store.get(&chain.key()?).await? else { return Ok(None) };
        let found = Zeroizing::new(found.value.to_vec());
        let (key, with_marks) = match found.split_at_checked(KEY_BYTES) {
            Some((key, [WITH_MARKS])) => (Zeroizing::new(key.to_vec()), true),
            // Of a gateway that kept no marks.
            _ => (found, false),
        };
        let known = match store.get(&chain.mark()?).await? {
            Some(mark) => KnownMark::At(Mark::decode(&mark.value)?),
            None if with_marks => KnownMark::Missing,
            None => KnownMark::NeverKept,
        };
        let write = writer(store, chain, &key, with_marks)?;
        Ok(Some(Self { key, marks: Marks { known, write } }))
    }

    /// The key, for checking what it was used for.
    pub(crate) fn audit_key(&self) -> Result<AuditKey> {
        Ok(AuditKey::new(&self.key)?)
    }
}

/// The key as it is stored.
fn record(key: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([key, &[WITH_MARKS]].concat())
}

/// How a mark is stored. The first one says with the key that there are marks from now on.
fn writer(store: &SharedStore, chain: &Chain, key: &[u8], with_marks: bool) -> Result<WriteMark> {
    let (key_record, mark_record) = (chain.key()?, chain.mark()?);
    let store: Arc<dyn Store> = store.clone();
    let with_marks = Arc::new(AtomicBool::new(with_marks));
    let stored_key = record(key);
    Ok(Arc::new(move |mark: Mark| {
        let mut commit = Commit::new().put(mark_record.clone(), mark.encode());
        if !with_marks.load(Ordering::Relaxed) {
            commit = commit.put(key_record.clone(), stored_key.to_vec());
        }
        let (store, with_marks) = (store.clone(), with_marks.clone());
        Box::pin(async move {
            store.commit(commit).await.map_err(|error| error.to_string())?;
            with_marks.store(true, Ordering::Relaxed);
            Ok(())
        })
    }))
}

#[cfg(test)]
mod tests {
    use chancery_store::memory::MemoryStore;

    use super::*;

    fn store() -> SharedStore {
        Arc::new(MemoryStore::new())
    }

    async fn known(store: &SharedStore) -> KnownMark {
        Sealed::read(store, &Chain::Only).await.unwrap().unwrap().marks.known
    }

    #[tokio::test]
    async fn the_key_is_made_once_and_with_a_mark() {
        let store = store();
        assert!(Sealed::read(&store, &Chain::Only).await.unwrap().is_none());
        let first = Sealed::open(&store, &Chain::Only).await.unwrap();
        assert_eq!(first.marks.known, KnownMark::At(Mark::start()));
        let again = Sealed::open(&store, &Chain::Only).await.unwrap();
        assert_eq!(*again.key, *first.key);
        assert_eq!(again.key.len(), KEY_BYTES);
    }

    #[tokio::test]
    async fn a_mark_that_is_gone_is_no_mark_that_never_was() {
        let store = store();
        let old = vec![7; KEY_BYTES];
        store.commit(Commit::new().put(Chain::Only.key().unwrap(), old.clone())).await.unwrap();
        let sealed = Sealed::open(&store, &Chain::Only).await.unwrap();
        assert_eq!((sealed.marks.known.clone(), &*sealed.key), (KnownMark::NeverKept, &old));
        for _ in 0..2 {
            (sealed.marks.write)(Mark::start()).await.unwrap();
            let sealed = Sealed::read(&store, &Chain::Only).await.unwrap().unwrap();
            assert_eq!((sealed.marks.known, &*sealed.key), (KnownMark::At(Mark::start()), &old));
        }
        store.commit(Commit::new().delete(Chain::Only.mark().unwrap())).await.unwrap();
        assert_eq!(known(&store).await, KnownMark::Missing);
    }

    #[tokio::test]
    async fn a_damaged_mark_is_an_error() {
        let store = store();
        Sealed::open(&store, &Chain::Only).await.unwrap();
        store.commit(Commit::new().put(Chain::Only.mark().unwrap(), &b"?"[..])).await.unwrap();
        let refused = Sealed::open(&store, &Chain::Only).await.err().unwrap();
        assert!(refused.to_string().contains("mark of the audit log"), "{refused}");
    }

    #[tokio::test]
    async fn each_gateway_has_a_key_and_a_mark_of_its_own() {
        let store = store();
        let of = |name: &str| Chain::Of(name.parse().unwrap());
        let only = Sealed::open(&store, &Chain::Only).await.unwrap();
        let (a, b) = (of("a"), of("b"));
        let first = Sealed::open(&store, &a).await.unwrap();
        let second = Sealed::open(&store, &b).await.unwrap();
        assert_ne!(*first.key, *second.key);
        assert_ne!(*first.key, *only.key);
        store.commit(Commit::new().delete(a.mark().unwrap())).await.unwrap();
        let known = |sealed: Option<Sealed>| sealed.unwrap().marks.known;
        assert_eq!(known(Sealed::read(&store, &a).await.unwrap()), KnownMark::Missing);
        assert_eq!(known(Sealed::read(&store, &b).await.unwrap()), KnownMark::At(Mark::start()));
    }
}
