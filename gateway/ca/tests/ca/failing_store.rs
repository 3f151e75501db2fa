use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_store::memory::MemoryStore;
use chancery_store::{
    BoxFuture, Commit, CommitError, Key, ReadError, Record, Store, Version, Watch,
};
use jiff::Timestamp;

/// A store that fails one commit, counted from zero.
#[derive(Clone)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    seen: Arc<AtomicUsize>,
    fails: usize,
    how: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The commit does not happen, and the caller is told so.
    Nothing,
    /// The commit happens, and the caller is told that it is unknown whether it did.
    Unknown,
}

impl FailingStore {
    pub(crate) fn new(inner: MemoryStore, fails: usize, how: Failure) -> Self {
        Self { inner, seen: Arc::default(), fails, how }
    }

    /// Whether it came to the failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > self.fails
    }
}

impl Store for FailingStore {
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
        Box::pin(async move {
            if self.seen.fetch_add(1, Ordering::SeqCst) != self.fails {
                return self.inner.commit(commit).await;
            }
            match self.how {
                Failure::Nothing => Err(CommitError::Full),
                Failure::Unknown => {
                    self.inner.commit(commit).await?;
                    Err(CommitError::Unavailable("the disk was pulled out".to_owned()))
                }
            }
        })
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.inner.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        self.inner.now()
    }
}
