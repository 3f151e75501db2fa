//! The orders at other CAs that were sent a CSR, or are about to be: such an order may have made a certificate, so the
//! next try for the same certificate goes on with it. The record is written before the CSR is sent.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_records::{Due, Recorded, Stored, Table};
use chancery_store::{Commit, CommitError, InvalidKey, Key, ReadError, SharedStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::UpstreamError;

/// Where the records are, by the upstream's name and a hash of what the certificate is for.
const FINALIZED: &str = "_/upstream/finalized/";
/// The queue of their keys by the moment at which they end, so that a sweep reads only what has ended.
const ENDS: &str = "_/upstream/finalized-ends/";

/// How many records one sweep removes. Each order sweeps, so this keeps up.
const SWEPT: usize = 16;

/// What a certificate of another CA is for. All tries with the same purpose and the same CSR get one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// What it is, for instance an order of a client. Any text.
    pub id: String,
    /// Until when it may be tried again. After this a further try makes a further certificate.
    pub until: Timestamp,
}

/// The record of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finalized {
    /// The URL of the account at the other CA.
    pub(crate) account: String,
    /// The URL of the order there.
    pub(crate) order: String,
    pub(crate) ends: Timestamp,
}

impl Recorded for Finalized {}

/// The record by which a further try finds the certificate. Delete it in the commit after which there is no further
/// try. If nobody does, it is swept when its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept([Key; 2]);

impl Kept {
    /// Adds to a commit what deletes the record.
    #[must_use]
    pub fn forget(&self, commit: Commit) -> Commit {
        self.0.iter().cloned().fold(commit, Commit::delete)
    }
}

/// The records of one upstream.
pub(crate) struct FinalizedOrders {
    table: Table<Finalized>,
    /// Those of all upstreams.
    ends: Due,
}

impl FinalizedOrders {
    pub(crate) fn new(store: SharedStore, upstream: &str) -> Self {
        let ends = Due::new(store.clone(), ENDS);
        Self { table: Table::new(store, format!("{FINALIZED}{upstream}/")), ends }
    }

    /// Under which id the order for this purpose and CSR is recorded.
    pub(crate) fn id(purpose: &Purpose, csr: &[u8]) -> String {
        let (purpose, csr) = (digest(&SHA256, purpose.id.as_bytes()), digest(&SHA256, csr));
        hex::encode(digest(&SHA256, &[purpose.as_ref(), csr.as_ref()].concat()))
    }

    /// The recorded order, if its time is not over.
    pub(crate) async fn find(&self, id: &str) -> Result<Option<Stored<Finalized>>, ReadError> {
        let now = self.table.store().now().await?;
        let found = self.table.get(id).await?;
        Ok(found.filter(|found| now <= found.value.ends))
    }

    /// Records an order before it is finalized.
    pub(crate) async fn begin(
        &self,
        id: &str,
        order: Finalized,
    ) -> Result<Stored<Finalized>, UpstreamError> {
        let now = self.table.store().now().await?;
        if let Err(error) = self.sweep(now).await {
            tracing::warn!(%error, "orders at other CAs stay on record after their time");
        }
        let before = self.table.get(id).await?;
        if before.as_ref().is_some_and(|before| now <= before.value.ends) {
            return Err(UpstreamError::UnderWay);
        }
        let key = self.table.key(id).map_err(ReadError::from)?;
        let mut commit = self.table.replace(Commit::new(), id, before.as_ref(), &order)?;
        if let Some(before) = &before {
            commit = commit.delete(self.end(before).map_err(ReadError::from)?);
        }
        let commit =
            self.ends.add(commit, order.ends, &key.to_string()).map_err(ReadError::from)?;
        match self.table.store().commit(commit).await {
            Ok(version) => Ok(Stored { key, value: order, version }),
            Err(CommitError::Conflict { .. }) => Err(UpstreamError::UnderWay),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets an order from which nothing will come.
    pub(crate) async fn forget(&self, found: &Stored<Finalized>) -> Result<(), CommitError> {
        let commit = self.table.remove(Commit::new(), found)?.delete(self.end(found)?);
        match self.table.store().commit(commit).await {
            // Another try did it.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The record, to be deleted with what its certificate was for.
    pub(crate) fn kept(&self, found: &Stored<Finalized>) -> Result<Kept, InvalidKey> {
        Ok(Kept([found.key.clone(), self.end(found)?]))
    }

    /// Removes the records of all upstreams whose time is over.
    async fn sweep(&self, now: Timestamp) -> Result<(), CommitError> {
        // A record counts until its moment is over, which an entry has in whole milliseconds.
        let Ok(before) = now.checked_sub(Duration::from_millis(1)) else { return Ok(()) };
        let ended = self.ends.entries(before, SWEPT).await?;
        if ended.is_empty() {
            return Ok(());
        }
        let mut commit = Commit::new();
        for entry in ended {
            commit = Due::done(commit, &entry).delete(Key::new(entry.id)?);
        }
        match self.table.store().commit(commit).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The entry of a record's end.
    fn end(&self, found: &Stored<Finalized>) -> Result<Key, InvalidKey> {
        self.ends.key(found.value.ends, &found.key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use chancery_identity::Clock;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;

    struct World {
        clock: Clock,
        store: MemoryStore,
        orders: FinalizedOrders,
    }

    fn world() -> World {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let store = MemoryStore::with_clock(clock.clone());
        let orders = FinalizedOrders::new(Arc::new(store.clone()), "elsewhere");
        World { clock, store, orders }
    }

    fn order(url: &str, minutes: u64) -> Finalized {
        let ends = Timestamp::UNIX_EPOCH + Duration::from_mins(minutes);
        Finalized { account: "https://ca/account/1".to_owned(), order: url.to_owned(), ends }
    }

    async fn keys(store: &MemoryStore) -> usize {
        store.keys(b"", None, 100).await.unwrap().len()
    }

    #[test]
    fn purpose_and_csr_make_the_id() {
        let purpose = |id: &str| Purpose { id: id.to_owned(), until: Timestamp::UNIX_EPOCH };
        let later = Purpose { until: Timestamp::MAX, ..purpose("a") };
        let id = FinalizedOrders::id(&purpose("a"), b"csr");
        assert_eq!(id, FinalizedOrders::id(&later, b"csr"));
        assert_ne!(id, FinalizedOrders::id(&purpose("b"), b"csr"));
        assert_ne!(id, FinalizedOrders::id(&purpose("a"), b"other"));
        assert_ne!(
            FinalizedOrders::id(&purpose("ab"), b"c"),
            FinalizedOrders::id(&purpose("a"), b"bc")
        );
    }

    #[tokio::test]
    async fn an_order_is_found_until_it_ends_and_then_another_takes_its_place() {
        let World { clock, store, orders } = world();
        let first = orders.begin("id", order("one", 1)).await.unwrap();
        assert_eq!(orders.find("id").await.unwrap().unwrap(), first);
        let refused = orders.begin("id", order("two", 9)).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::UnderWay), "{refused}");
        assert!(refused.is_passing());
        clock.advance(Duration::from_mins(1));
        assert!(orders.find("id").await.unwrap().is_some(), "it ends after this moment");
        clock.advance(Duration::from_millis(1));
        assert_eq!(orders.find("id").await.unwrap(), None);
        let second = orders.begin("id", order("two", 9)).await.unwrap();
        assert_eq!(orders.find("id").await.unwrap().unwrap(), second);
        assert_eq!(keys(&store).await, 2);
    }

    #[tokio::test]
    async fn one_of_two_that_begin_at_once_does() {
        let World { store, orders, .. } = world();
        let other = FinalizedOrders::new(Arc::new(store), "elsewhere");
        let (one, two) =
            tokio::join!(orders.begin("id", order("1", 1)), other.begin("id", order("2", 1)));
        assert!(one.is_ok() != two.is_ok());
    }

    #[tokio::test]
    async fn what_is_forgotten_leaves_nothing() {
        let World { store, orders, .. } = world();
        let found = orders.begin("id", order("one", 1)).await.unwrap();
        orders.forget(&found).await.unwrap();
        orders.forget(&found).await.unwrap();
        assert_eq!(keys(&store).await, 0);
        let found = orders.begin("id", order("one", 1)).await.unwrap();
        let kept = orders.kept(&found).unwrap();
        store.commit(kept.forget(Commit::new())).await.unwrap();
        assert_eq!(keys(&store).await, 0);
    }

    #[tokio::test]
    async fn what_nobody_forgets_is_swept_for_all_upstreams() {
        let World { clock, store, orders } = world();
        let other = FinalizedOrders::new(Arc::new(store.clone()), "other");
        for (id, minutes) in [("a", 1), ("b", 2), ("c", 1)] {
            orders.begin(id, order(id, minutes)).await.unwrap();
        }
        assert_eq!(keys(&store).await, 6);
        clock.advance(Duration::from_mins(1) + Duration::from_millis(1));
        other.begin("d", order("d", 9)).await.unwrap();
        assert_eq!(keys(&store).await, 4);
        assert!(orders.find("b").await.unwrap().is_some());
        assert!(other.find("d").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_is_damaged_does_not_keep_the_others() {
        let World { clock, store, orders } = world();
        orders.begin("a", order("a", 1)).await.unwrap();
        let entry = orders.ends.key(Timestamp::UNIX_EPOCH, "_/upstream/finalized/elsewhere/b");
        store.commit(Commit::new().put(entry.unwrap(), "damaged")).await.unwrap();
        assert_eq!(keys(&store).await, 3);
        clock.advance(Duration::from_mins(2));
        orders.begin("c", order("c", 9)).await.unwrap();
        assert_eq!(keys(&store).await, 3, "the first one has gone");
        assert_eq!(orders.find("a").await.unwrap(), None);
    }
}
