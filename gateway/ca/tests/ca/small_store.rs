use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chancery_store::memory::MemoryStore;
use chancery_store::{
    BoxFuture, Commit, CommitError, Key, ReadError, Record, Store, Version, Watch, Write,
};
use jiff::Timestamp;

/// A store for which every CRL is too large, while that is set.
#[derive(Clone)]
pub(crate) struct SmallStore {
    inner: MemoryStore,
    is_small: Arc<AtomicBool>,
}

impl SmallStore {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryStore::new(), is_small: Arc::default() }
    }

    pub(crate) fn set_small(&self, is_small: bool) {
        self.is_small.store(is_small, Ordering::SeqCst);
    }
}

/// Whether a commit keeps a whole CRL for other gateways: what it says of one takes less.
fn has_crl(commit: &Commit) -> bool {
    commit.writes().iter().any(|(key, write)| {
        key.to_string().contains("/published/")
            && matches!(write, Write::Put(value) if value.len() > 250)
    })
}

impl Store for SmallStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        self.inner.get(key)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        self.inner.scan(prefix, after, limit)
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        self.inner.keys(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        if self.is_small.load(Ordering::SeqCst) && has_crl(&commit) {
            let bytes = commit.len_bytes();
            return Box::pin(async move { Err(CommitError::TooLarge { bytes, limit: 0 }) });
        }
        self.inner.commit(commit)
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.inner.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        self.inner.now()
    }
}
