//! How many certificates were issued lately, for the policies that limit it. Answered from memory: a
//! policy's deadline runs while it asks.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::{Clock, TenantId};
use chancery_policy::IssuedTo;
use chancery_records::{Damage, Fence, Model, Recorded, Stored, Table, View, ViewError};
use chancery_store::{Commit, CommitError, Key, ReadError, SharedStore};
use chancery_x509::Serial;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::InventoryEntry;
use crate::store_key;

/// Over which time certificates can be counted.
const WINDOW: Duration = Duration::from_hours(30 * 24);

/// Records of what was issued lately, in the order of time, over all tenants.
const RECENT: &str = "_/issuance/recent/";

/// How old the knowledge of what was issued may be. Beyond it nothing is counted, and policies are told so.
const GREATEST_AGE: Duration = Duration::from_secs(30);

/// How many of them are deleted at once.
const BATCH: usize = 1000;

/// Bytes of a hash that stand for a name or requester: enough that nobody is counted as another.
const HASH: usize = 16;

type Hash = [u8; HASH];

/// The certificates of the last 30 days, counted by name and by requester, of whatever gateway on the store.
///
/// Certificates that are being issued at this moment are not among them, so that several requests at
/// once may together exceed a limit by as many.
pub struct IssuedCounts {
    view: View<Issued, Times>,
    clock: Clock,
}

/// To what names and requester a certificate was issued. Its record is the hashes, one behind the other.
#[derive(Debug, Serialize, Deserialize)]
struct Issued(Vec<Hash>);

impl Recorded for Issued {
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes.as_chunks() {
            (hashes, []) => Ok(Self(hashes.to_vec())),
            _ => Err("it is no list of hashes".to_owned()),
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        Ok(self.0.concat())
    }
}

/// For each name and each requester when certificates were issued, in order.
#[derive(Default)]
struct Times {
    issued: HashMap<Hash, VecDeque<At>>,
    damaged: Option<Damage>,
}

/// When a certificate was issued, in seconds, and which one it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At(i64, u64);

impl Model<Issued> for Times {
    fn put(&mut self, id: &str, stored: Stored<Issued>) {
        let Some(seconds) = time_of(id) else {
            let reason = "its key says no time".to_owned();
            return self.damaged(id, Damage { key: stored.key, reason });
        };
        let at = At(seconds, which(id));
        for hash in stored.value.0 {
            let issued = self.issued.entry(hash).or_default();
            // The clocks of several gateways are not one, and a record may be read a second time.
            if let Err(place) = issued.binary_search(&at) {
                issued.insert(place, at);
            }
        }
    }

    /// Nothing: only what is older than the window is deleted, and that is forgotten by its time.
    fn remove(&mut self, _id: &str) {}

    fn damaged(&mut self, _id: &str, damage: Damage) {
        self.damaged.get_or_insert(damage);
    }
}

impl IssuedCounts {
    /// Reads what was issued in the last 30 days, and follows it from now on.
    ///
    /// # Errors
    /// The store cannot be read, or a record in it is damaged.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(store: SharedStore, clock: Clock) -> Result<Self, ReadError> {
        let table = Table::new(store, RECENT);
        let view =
            View::open("counts of certificates", table, GREATEST_AGE, Times::default).await?;
        let counts = Self { view, clock };
        let damaged = counts.view.known().ok().and_then(|times| times.damaged.clone());
        match damaged {
            Some(Damage { key, reason }) => Err(ReadError::Damaged { key, reason }),
            None => Ok(counts),
        }
    }

    /// How many of the tenant's certificates were issued to this name or requester in the last so
    /// long, at most 30 days.
    ///
    /// # Errors
    /// It cannot be told now.
    pub fn count(
        &self,
        tenant: &TenantId,
        to: &IssuedTo,
        over: Duration,
    ) -> Result<u64, ViewError> {
        let now = self.clock.now();
        let since = now.as_second().saturating_sub(seconds(over.min(WINDOW)));
        let times = self.view.known()?;
        if let Some(damage) = times.damaged.clone() {
            return Err(damage.into());
        }
        let Some(issued) = times.issued.get(&hash(tenant, to)) else { return Ok(0) };
        Ok(issued.iter().rev().take_while(|at| at.0 > since).count() as u64)
    }

    /// Adds to the commit that stores a certificate what counts it.
    pub(crate) fn record(entry: &InventoryEntry, commit: Commit) -> Result<Commit, ReadError> {
        let millis = u64::try_from(entry.issued_at.as_millisecond()).unwrap_or(0);
        let key = store_key(format!("{RECENT}{millis:016x}/{}/{}", entry.tenant, entry.serial))?;
        Ok(commit.put(key, hashes(entry).concat()))
    }

    /// Waits until the certificates count that were stored before. If it cannot be told whether they do, nothing
    /// is counted until it can.
    pub(crate) async fn catch_up(&self) {
        if let Err(error) = self.view.catch_up().await {
            tracing::error!(%error, "a certificate that was issued cannot be counted yet");
        }
    }

    /// Forgets in memory what is older than 30 days. Each gateway calls it now and then.
    pub fn forget(&self) {
        let since = beginning(self.clock.now());
        self.view.prune(|times| times.forget(since.as_second()));
    }

    /// Removes from the store what is older than 30 days. To be called now and then, under a lease.
    ///
    /// # Errors
    /// If the store fails or the lease was lost; what was removed before stays removed.
    pub async fn sweep(&self, fence: &Fence) -> Result<(), CommitError> {
        let since = beginning(self.clock.now());
        // Certificates of that very moment are not counted any more.
        let end = first_of(since.checked_add(Duration::from_millis(1)).unwrap_or(since))?;
        let store = fence.over(self.view.table().store());
        loop {
            let old = store.keys(RECENT.as_bytes(), None, BATCH).await?;
            let old: Vec<Key> = old.into_iter().take_while(|key| *key < end).collect();
            let more = old.len() == BATCH;
            if old.is_empty() {
                return Ok(());
            }
            store.commit(old.into_iter().fold(Commit::new(), Commit::delete)).await?;
            if !more {
                return Ok(());
            }
        }
    }
}

impl Times {
    fn forget(&mut self, since: i64) {
        self.issued.retain(|_, issued| {
            while issued.front().is_some_and(|at| at.0 <= since) {
                issued.pop_front();
            }
            !issued.is_empty()
        });
    }
}

impl std::fmt::Debug for IssuedCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedCounts").finish_non_exhaustive()
    }
}

/// Of which certificate a record is that counts one.
pub(crate) fn certificate_of(key: &Key) -> Option<(TenantId, Serial)> {
    let rest = std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix(RECENT)?;
    let mut parts = rest.split('/').skip(1);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn beginning(now: Timestamp) -> Timestamp {
    now.checked_sub(WINDOW).unwrap_or(Timestamp::MIN)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn first_of(moment: Timestamp) -> Result<Key, ReadError> {
    let millis = u64::try_from(moment.as_millisecond()).unwrap_or(0);
    store_key(format!("{RECENT}{millis:016x}"))
}

/// When the certificate of a record was issued.
fn time_of(id: &str) -> Option<i64> {
    let (millis, _) = id.split_once('/')?;
    i64::try_from(u64::from_str_radix(millis, 16).ok()? / 1000).ok()
}

/// Which certificate the record with this id counts, in few bytes.
fn which(id: &str) -> u64 {
    let whole = digest(&SHA256, id.as_bytes());
    let (first, _) = whole.as_ref().as_chunks::<8>();
    first.first().copied().map_or(0, u64::from_be_bytes)
}

fn hashes(entry: &InventoryEntry) -> Vec<Hash> {
    let names = entry.names.iter().map(|name| IssuedTo::Name {
        kind: name.kind().to_owned(),
        value: name.value().into_owned(),
    });
    names
        .chain(std::iter::once(IssuedTo::Requester(entry.requester.clone())))
        .map(|to| hash(&entry.tenant, &to))
        .collect()
}

fn hash(tenant: &TenantId, to: &IssuedTo) -> Hash {
    let text = match to {
        IssuedTo::Name { kind, value } => {
            format!("{tenant}\0{kind}\0{}", value.to_ascii_lowercase())
        }
        IssuedTo::Requester(requester) => format!("{tenant}\0\0{requester}"),
    };
    let whole = digest(&SHA256, text.as_bytes());
    let mut short = [0; HASH];
    short.iter_mut().zip(whole.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chancery_identity::Fingerprint;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;
    use chancery_x509::GeneralName;

    use super::*;

    const START: Timestamp = Timestamp::constant(1_700_000_000, 0);
    const HOUR: Duration = Duration::from_hours(1);

    fn entry(serial: &str, name: &str, requester: &str, at: Timestamp) -> InventoryEntry {
        InventoryEntry {
            serial: serial.parse().unwrap(),
            tenant: TenantId::default_tenant(),
            issuer: "private".to_owned(),
            requester: requester.to_owned(),
            profile: "p".to_owned(),
            names: vec![GeneralName::dns(name).unwrap()],
            fingerprint: Fingerprint::of_certificate(&[]),
            spki_sha256: String::new(),
            not_before: at,
            not_after: at,
            issued_at: at,
            der: vec![],
            chain: String::new(),
            revoked: None,
        }
    }

    fn name(value: &str) -> IssuedTo {
        IssuedTo::Name { kind: "dns".to_owned(), value: value.to_owned() }
    }

    async fn issue(store: &MemoryStore, counts: &IssuedCounts, entry: &InventoryEntry) {
        let commit = IssuedCounts::record(entry, Commit::new()).unwrap();
        store.commit(commit).await.unwrap();
        counts.catch_up().await;
    }

    async fn open(store: &MemoryStore, clock: &Clock) -> IssuedCounts {
        IssuedCounts::open(Arc::new(store.clone()), clock.clone()).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_issued_is_counted_by_name_requester_tenant_and_time_and_after_a_restart() {
        let (store, clock) = (MemoryStore::new(), Clock::manual(START));
        let counts = open(&store, &clock).await;
        issue(&store, &counts, &entry("1", "a.example", "acme:1", clock.now())).await;
        clock.advance(2 * HOUR);
        issue(&store, &counts, &entry("2", "a.example", "acme:2", clock.now())).await;
        for counts in [&counts, &open(&store, &clock).await] {
            let count =
                |to: &IssuedTo, over| counts.count(&TenantId::default_tenant(), to, over).unwrap();
            assert_eq!(count(&name("a.example"), HOUR), 1);
            assert_eq!(count(&name("A.example"), 3 * HOUR), 2);
            assert_eq!(count(&name("b.example"), 3 * HOUR), 0);
            assert_eq!(count(&IssuedTo::Requester("acme:1".to_owned()), 3 * HOUR), 1);
            assert_eq!(counts.count(&"other".parse().unwrap(), &name("a.example"), HOUR), Ok(0));
        }
    }

    #[tokio::test]
    async fn what_is_older_than_the_window_is_forgotten_in_memory_and_in_the_store() {
        let (store, clock) = (MemoryStore::new(), Clock::manual(START));
        let counts = open(&store, &clock).await;
        issue(&store, &counts, &entry("1", "a.example", "acme:1", clock.now())).await;
        clock.advance(Duration::from_hours(30 * 24 - 1));
        issue(&store, &counts, &entry("2", "a.example", "acme:1", clock.now())).await;
        counts.forget();
        counts.sweep(&Fence::none()).await.unwrap();
        assert_eq!(counts.count(&TenantId::default_tenant(), &name("a.example"), WINDOW), Ok(2));
        clock.advance(HOUR);
        counts.forget();
        counts.sweep(&Fence::none()).await.unwrap();
        assert_eq!(counts.count(&TenantId::default_tenant(), &name("a.example"), WINDOW), Ok(1));
        assert_eq!(store.scan(RECENT.as_bytes(), None, 10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_record_is_named() {
        let (store, clock) = (MemoryStore::new(), Clock::manual(START));
        let key = Key::new(format!("{RECENT}{:016x}/default/1", u64::MAX / 4)).unwrap();
        store.commit(Commit::new().put(key, "short")).await.unwrap();
        let error = IssuedCounts::open(Arc::new(store), clock).await.unwrap_err();
        assert!(error.to_string().contains("_/issuance/recent/"), "{error}");
    }

    #[tokio::test]
    async fn what_another_gateway_issues_counts_once() {
        let (store, clock) = (MemoryStore::new(), Clock::manual(START));
        let (here, elsewhere) = (open(&store, &clock).await, open(&store, &clock).await);
        issue(&store, &elsewhere, &entry("1", "a.example", "acme:1", clock.now())).await;
        // The clock of the other gateway is behind.
        let before = clock.now() - HOUR;
        issue(&store, &elsewhere, &entry("2", "a.example", "acme:1", before)).await;
        here.catch_up().await;
        for counts in [&here, &elsewhere] {
            let count = |over| counts.count(&TenantId::default_tenant(), &name("a.example"), over);
            assert_eq!((count(HOUR / 2), count(2 * HOUR)), (Ok(1), Ok(2)));
        }
    }
}
