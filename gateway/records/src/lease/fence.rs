//! Keeps a former owner of a lease from committing.

use std::sync::Arc;

use chancery_store::{
    BoxFuture, Check, Commit, CommitError, Key, ReadError, Record, SharedStore, Store, Version,
    Watch,
};
use jiff::Timestamp;

use super::Lost;

/// What a commit checks in order to fail if the lease has another owner by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence(Option<Owned>);

/// The record of the owner, as it was when the lease was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    key: Key,
    version: Version,
}

impl Fence {
    pub(super) fn new(key: Key, version: Version) -> Self {
        Self(Some(Owned { key, version }))
    }

    /// The fence of a gateway that is alone on its store, where nobody can take over: it checks nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Makes the commit fail with a conflict if the lease has another owner by then.
    #[must_use]
    pub fn guard(&self, commit: Commit) -> Commit {
        match &self.0 {
            Some(Owned { key, version }) => commit.check_version(key.clone(), *version),
            None => commit,
        }
    }

    /// Whether a conflict at this key means that the lease was lost.
    pub fn is_at(&self, key: &Key) -> bool {
        self.0.as_ref().is_some_and(|owned| owned.key == *key)
    }

    /// The store for work under the lease: each of its commits checks that the lease has the same owner.
    /// After the lease was lost it fails with [`CommitError::Unavailable`] and not with a conflict, so that
    /// the work ends and does not try again.
    pub fn over(&self, store: &SharedStore) -> SharedStore {
        match &self.0 {
            Some(owned) => Arc::new(Fenced { store: store.clone(), owned: owned.clone() }),
            None => store.clone(),
        }
    }
}

struct Fenced {
    store: SharedStore,
    owned: Owned,
}

impl Store for Fenced {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        self.store.get(key)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        self.store.scan(prefix, after, limit)
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        self.store.keys(prefix, after, limit)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        let Owned { key, version } = &self.owned;
        // The first check, so that a commit of a former owner that meets other conflicts too fails for this one.
        let mut guarded = Commit::new().check(Check { key: key.clone(), expected: Some(*version) });
        for check in commit.checks() {
            guarded = guarded.check(check.clone());
        }
        for (at, write) in commit.writes() {
            guarded = guarded.write(at.clone(), write.clone());
        }
        Box::pin(async move {
            match self.store.commit(guarded).await {
                Err(CommitError::Conflict { key: at }) if at == *key => {
                    Err(CommitError::Unavailable(Lost.to_string()))
                }
                outcome => outcome,
            }
        })
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.store.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        self.store.now()
    }
}
