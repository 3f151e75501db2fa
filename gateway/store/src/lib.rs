//! Ordered key-value storage with optimistic commits: the one seam behind which the gateway's state
//! lives.
//!
//! A [`Store`] keeps [`Record`]s in the byte order of their keys. It is read by key or by prefix, and
//! changed only by a [`Commit`]: a set of checks ("absent", "still at this version") and writes that
//! take effect together or not at all, and are durable when [`Store::commit`] returns. There are no
//! locks and no transactions that span calls, which is what lets an embedded file, a PostgreSQL
//! table and etcd stand behind the same trait. A secondary index is a key that is written in the
//! same commit as what it points to.
//!
//! [`redb::RedbStore`] is the embedded backend, [`memory::MemoryStore`] keeps everything in memory
//! for tests. The `battery` feature exports the tests that every backend has to pass.

#[cfg(any(test, feature = "battery"))]
pub mod battery;
mod commit;
mod error;
mod key;
pub mod lenient;
pub mod memory;
pub mod redb;
pub mod restored;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use commit::{Check, Commit, Write};
pub use error::{CommitError, OpenError, ReadError};
pub use key::{InvalidKey, InvalidKeyText, Key};
pub use watch::{Change, Watch, Watchers};

/// A boxed future, which keeps [`Store`] usable as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store that several owners share.
pub type SharedStore = Arc<dyn Store>;

/// Ordered records with optimistic commits.
///
/// Every read sees one consistent state: whole commits, and at least all those that were
/// acknowledged before the read began. Reads never wait for a commit in progress.
pub trait Store: Send + Sync {
    /// The record at `key`, if there is one.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>>;

    /// The first `limit` records whose keys start with `prefix` and come after `after`, in ascending
    /// order of keys. An empty prefix means all records. One scan sees one state of the store;
    /// continuing with the last key of one scan as `after` of the next may see a newer state.
    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>>;

    /// The keys of the first `limit` records, as [`scan`](Self::scan) finds them. Their values are not looked at,
    /// so that this is cheaper, and a record that is damaged has its key all the same: for indexes, whose keys say
    /// everything, and for names.
    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>>;

    /// Makes the commit's writes if all of its checks hold, and returns its number once they are
    /// durable. A commit without writes only evaluates its checks, and returns the number of the
    /// newest commit that they were evaluated against.
    ///
    /// Dropping the future does not take the commit back: it may still happen.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>>;

    /// Follows the changes of all keys that start with `prefix`, beginning with the first commit that
    /// is acknowledged after this call. What a commit changed is in the watch before the commit is
    /// acknowledged.
    fn watch(&self, prefix: &[u8]) -> Watch;

    /// The time by the store's own clock, which all gateways on one store share. The ends of leases are
    /// moments of this clock.
    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>>;
}

/// One key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub key: Key,
    /// What is stored there; may be empty.
    pub value: Bytes,
    /// The commit that wrote it.
    pub version: Version,
}

// Values may be secrets, so only their length is shown.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("key", &self.key)
            .field("value", &format_args!("{} bytes", self.value.len()))
            .field("version", &self.version)
            .finish()
    }
}

/// The number of a commit. Later commits have higher numbers; numbers may be skipped and are never
/// used twice within a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
