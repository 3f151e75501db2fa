//! How many certificates were issued lately, for the policies that limit it. Answered from memory: a
//! policy's deadline runs while it asks.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::{Clock, TenantId};
use chancery_policy::IssuedTo;
use chancery_store::{Commit, CommitError, Key, ReadError, SharedStore};
use chancery_x509::Serial;
use jiff::Timestamp;

use crate::record::InventoryEntry;
use crate::store_key;

/// Over which time certificates can be counted.
const WINDOW: Duration = Duration::from_hours(30 * 24);

/// Records of what was issued lately, in the order of time, over all tenants.
const RECENT: &str = "_/issuance/recent/";

/// How many of them are read, or deleted, at once.
const BATCH: usize = 1000;

/// Bytes of a hash that stand for a name or requester: enough that nobody is counted as another.
const HASH: usize = 16;

type Hash = [u8; HASH];

/// The certificates of the last 30 days, counted by name and by requester.
///
/// Certificates that are being issued at this moment are not among them, so that several requests at
/// once may together exceed a limit by as many.
pub struct IssuedCounts {
    store: SharedStore,
    clock: Clock,
    /// For each name and each requester the times at which certificates were issued, in seconds.
    times: Mutex<HashMap<Hash, VecDeque<i64>>>,
}

impl IssuedCounts {
    /// Reads what was issued in the last 30 days.
    ///
    /// # Errors
    /// The store cannot be read, or a record in it is damaged.
    pub async fn open(store: SharedStore, clock: Clock) -> Result<Self, ReadError> {
        let mut times: HashMap<Hash, VecDeque<i64>> = HashMap::new();
        let mut after = Some(first_of(beginning(clock.now()))?);
        loop {
            let page = store.scan(RECENT.as_bytes(), after.as_ref(), BATCH).await?;
            for record in &page {
                let at = time_of(&record.key).ok_or_else(|| damaged(&record.key))?;
                let (hashes, []) = record.value.as_chunks::<HASH>() else {
                    return Err(damaged(&record.key));
                };
                for hash in hashes {
                    times.entry(*hash).or_default().push_back(at);
                }
            }
            match page.last() {
                Some(last) => after = Some(last.key.clone()),
                None => break,
            }
        }
        Ok(Self { store, clock, times: Mutex::new(times) })
    }

    /// How many of the tenant's certificates were issued to this name or requester in the last so
    /// long, at most 30 days.
    pub fn count(&self, tenant: &TenantId, to: &IssuedTo, over: Duration) -> u64 {
        let now = self.clock.now();
        let since = now.as_second().saturating_sub(seconds(over.min(WINDOW)));
        let times = self.times();
        let Some(issued) = times.get(&hash(tenant, to)) else { return 0 };
        issued.iter().rev().take_while(|at| **at > since).count() as u64
    }

    /// Adds to the commit that stores a certificate what counts it.
    pub(crate) fn record(entry: &InventoryEntry, commit: Commit) -> Result<Commit, ReadError> {
        let millis = u64::try_from(entry.issued_at.as_millisecond()).unwrap_or(0);
        let key = store_key(format!("{RECENT}{millis:016x}/{}/{}", entry.tenant, entry.serial))?;
        Ok(commit.put(key, hashes(entry).concat()))
    }

    /// Counts a certificate that was stored.
    pub(crate) fn add(&self, entry: &InventoryEntry) {
        let mut times = self.times();
        for hash in hashes(entry) {
            times.entry(hash).or_default().push_back(entry.issued_at.as_second());
        }
    }

    /// Forgets what is older than 30 days. To be called now and then.
    ///
    /// # Errors
    /// If the store fails; what was forgotten before stays forgotten.
    pub async fn sweep(&self) -> Result<(), CommitError> {
        let since = beginning(self.clock.now());
        self.times().retain(|_, issued| {
            while issued.front().is_some_and(|at| *at <= since.as_second()) {
                issued.pop_front();
            }
            !issued.is_empty()
        });
        // Certificates of that very moment are not counted any more.
        let end = first_of(since.checked_add(Duration::from_millis(1)).unwrap_or(since))?;
        loop {
            let page = self.store.scan(RECENT.as_bytes(), None, BATCH).await?;
            let old: Vec<Key> =
                page.into_iter().map(|record| record.key).take_while(|key| *key < end).collect();
            let more = old.len() == BATCH;
            if old.is_empty() {
                return Ok(());
            }
            self.store.commit(old.into_iter().fold(Commit::new(), Commit::delete)).await?;
            if !more {
                return Ok(());
            }
        }
    }

    fn times(&self) -> MutexGuard<'_, HashMap<Hash, VecDeque<i64>>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
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

fn time_of(key: &Key) -> Option<i64> {
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    let (millis, _) = text.strip_prefix(RECENT)?.split_once('/')?;
    i64::try_from(u64::from_str_radix(millis, 16).ok()? / 1000).ok()
}

fn damaged(key: &Key) -> ReadError {
    ReadError::Damaged { key: key.clone(), reason: "it is no list of hashes".to_owned() }
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
        counts.add(entry);
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
            let count = |to: &IssuedTo, over| counts.count(&TenantId::default_tenant(), to, over);
            assert_eq!(count(&name("a.example"), HOUR), 1);
            assert_eq!(count(&name("A.example"), 3 * HOUR), 2);
            assert_eq!(count(&name("b.example"), 3 * HOUR), 0);
            assert_eq!(count(&IssuedTo::Requester("acme:1".to_owned()), 3 * HOUR), 1);
            assert_eq!(counts.count(&"other".parse().unwrap(), &name("a.example"), HOUR), 0);
        }
    }

    #[tokio::test]
    async fn what_is_older_than_the_window_is_forgotten_in_memory_and_in_the_store() {
        let (store, clock) = (MemoryStore::new(), Clock::manual(START));
        let counts = open(&store, &clock).await;
        issue(&store, &counts, &entry("1", "a.example", "acme:1", clock.now())).await;
        clock.advance(Duration::from_hours(30 * 24 - 1));
        issue(&store, &counts, &entry("2", "a.example", "acme:1", clock.now())).await;
        counts.sweep().await.unwrap();
        assert_eq!(counts.count(&TenantId::default_tenant(), &name("a.example"), WINDOW), 2);
        clock.advance(HOUR);
        counts.sweep().await.unwrap();
        assert_eq!(counts.count(&TenantId::default_tenant(), &name("a.example"), WINDOW), 1);
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
}
