use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chancery_store::memory::MemoryStore;
use chancery_store::{
    BoxFuture, Commit, CommitError, Key, ReadError, Record, Store, Version, Watch, Watchers,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

/// A store whose reads can be made to fail or to wait, and whose watches can be ended.
pub(crate) struct FlakyStore {
    inner: MemoryStore,
    fails: AtomicBool,
    reads: AtomicUsize,
    /// Reads wait here after they have read, while there are no permits.
    gate: Semaphore,
    holds: AtomicBool,
    ended: AtomicBool,
}

impl FlakyStore {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            fails: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            holds: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Makes reads fail, or stops doing so.
    pub(crate) fn fail_reads(&self, fail: bool) {
        self.fails.store(fail, Ordering::SeqCst);
    }

    /// How many single records were read.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Makes reads wait, after they have read, until they are released.
    pub(crate) fn hold_reads(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// Lets the reads that wait go on, and all that follow.
    pub(crate) fn release_reads(&self) {
        self.holds.store(false, Ordering::SeqCst);
        self.gate.add_permits(1000);
    }

    /// Makes watches that begin from now on end at once.
    pub(crate) fn end_watches(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), ReadError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable("out of reach".to_owned()));
        }
        Ok(())
    }
}

impl Store for FlakyStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            let record = self.inner.get(key).await?;
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.holds.load(Ordering::SeqCst) {
                self.gate.acquire().await.unwrap().forget();
            }
            Ok(record)
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            self.inner.scan(prefix, after, limit).await
        })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            self.inner.keys(prefix, after, limit).await
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        self.inner.commit(commit)
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        if self.ended.load(Ordering::SeqCst) {
            return Watchers::default().watch(prefix);
        }
        self.inner.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        self.inner.now()
    }
}
