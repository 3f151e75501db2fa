//! The keys of the tenants: kept in the inner store, sealed with the root key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chancery_store::{Commit, CommitError, Key, ReadError, Record, SharedStore, Version};
use dashmap::{DashMap, Entry};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::envelope::{Envelope, KEY_LEN, NotSealed, Refused, SealingKey};
use crate::names;
use crate::usage::{Reserve, Usage, UseLimits};

/// Why a key was made.
#[derive(Debug, Clone, Copy)]
enum Cause {
    /// The tenant had none.
    First,
    /// The one before it has sealed as often as it may.
    Uses,
    /// The one before it is in use for long.
    Age,
    /// Of the one before it nobody knows how often it has sealed.
    Uncounted,
    /// Somebody wants it.
    Asked,
    /// Those before it may not all be there any more.
    Repair,
}

impl Cause {
    fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Uses => "uses",
            Self::Age => "age",
            Self::Uncounted => "uncounted",
            Self::Asked => "asked",
            Self::Repair => "repair",
        }
    }
}

/// How many keys a tenant may ever have had.
const MOST_KEYS: usize = 100_000;

/// The keys of one tenant. The one with the highest number seals, all open.
pub(crate) struct Keyring {
    keys: BTreeMap<u32, SealingKey>,
    /// Of the one that seals.
    reserve: Reserve,
}

/// The keyrings of all tenants, loaded when they are first needed.
pub(crate) struct Keyrings {
    store: SharedStore,
    root: SealingKey,
    loaded: DashMap<Bytes, Arc<Keyring>>,
    limits: UseLimits,
    /// Uses are put on record by one after the other: those who wait find them there.
    reserving: Mutex<()>,
}

impl Keyring {
    /// The key that seals; none if the tenant has no key yet.
    pub(crate) fn current(&self) -> Option<&SealingKey> {
        self.keys.values().next_back()
    }

    /// The key with this number.
    pub(crate) fn get(&self, id: u32) -> Option<&SealingKey> {
        self.keys.get(&id)
    }
}

impl Keyrings {
    pub(crate) fn new(store: SharedStore, root: SealingKey, limits: UseLimits) -> Self {
        Self { store, root, loaded: DashMap::new(), limits, reserving: Mutex::new(()) }
    }

    /// The keyring of `tenant` for opening what is under key `id`. Another process may have made
    /// that key since the keyring was loaded, so then it is loaded again.
    pub(crate) async fn with_key(&self, tenant: &[u8], id: u32) -> Result<Arc<Keyring>, ReadError> {
        match self.cached(tenant) {
            Some(keyring) if keyring.get(id).is_some() => Ok(keyring),
            _ => self.load(tenant).await,
        }
    }

    /// The keyring of `tenant` for sealing one record: it has a current key, of which one use is taken.
    pub(crate) async fn for_sealing(&self, tenant: &[u8]) -> Result<Arc<Keyring>, CommitError> {
        let ready = || self.cached(tenant).filter(|keyring| keyring.reserve.take());
        if let Some(keyring) = ready() {
            return Ok(keyring);
        }
        let _reserving = self.reserving.lock().await;
        loop {
            // Somebody may have put some on record while this one waited.
            if let Some(keyring) = ready() {
                return Ok(keyring);
            }
            // Another process may have made another key.
            let keyring = self.load(tenant).await?;
            match keyring.current().map(SealingKey::id) {
                None => drop(self.next(tenant, 0, Cause::First).await?),
                Some(id) => match self.usage(tenant, id).await? {
                    Some((usage, version))
                        if usage.reserved + self.limits.step <= self.limits.most =>
                    {
                        let more = Usage { reserved: usage.reserved + self.limits.step, ..usage };
                        if self.record(tenant, id, more, version).await? {
                            keyring.reserve.add(self.limits.step);
                        }
                    }
                    Some(_) => drop(self.next(tenant, id, Cause::Uses).await?),
                    None => drop(self.next(tenant, id, Cause::Uncounted).await?),
                },
            }
        }
    }

    /// Gives `tenant` a new key, under which everything is sealed from now on, and returns its
    /// number.
    pub(crate) async fn rotate(&self, tenant: &[u8]) -> Result<u32, CommitError> {
        let keyring = self.load(tenant).await?;
        let last = keyring.current().map_or(0, SealingKey::id);
        let rotated = self.next(tenant, last, Cause::Asked).await?;
        Ok(rotated.current().map_or(last, SealingKey::id))
    }

    /// Gives `tenant` a new key with a number above `last`, whatever is on record of others.
    pub(crate) async fn renew(&self, tenant: &[u8], last: u32) -> Result<(), CommitError> {
        let keyring = self.load(tenant).await?;
        let last = keyring.current().map_or(last, |current| current.id().max(last));
        self.add(tenant, after(last)?, Cause::Repair).await.map(drop)
    }

    /// Gives a new key to each tenant whose current one is in use since `longest` before `now`, both in seconds,
    /// or of which nobody has counted how often it was used. Returns how many there were.
    pub(crate) async fn rotate_due(&self, now: u64, longest: u64) -> Result<usize, CommitError> {
        let mut count = 0;
        for tenant in self.tenants().await? {
            let keyring = self.load(&tenant).await?;
            let Some(id) = keyring.current().map(SealingKey::id) else { continue };
            let cause = match self.usage(&tenant, id).await? {
                None => Cause::Uncounted,
                Some((Usage { since: Some(since), .. }, _)) => {
                    if now.saturating_sub(since) < longest {
                        continue;
                    }
                    Cause::Age
                }
                Some((usage, version)) => {
                    // It was made since somebody looked last. If it is changed meanwhile, there is a next time.
                    self.record(&tenant, id, Usage { since: Some(now), ..usage }, version).await?;
                    continue;
                }
            };
            drop(self.next(&tenant, id, cause).await?);
            count += 1;
        }
        Ok(count)
    }

    /// What is on record of a key's use; none if nobody has counted, or it cannot be known any more.
    async fn usage(&self, tenant: &[u8], id: u32) -> Result<Option<(Usage, Version)>, CommitError> {
        let at = names::tenant_use(tenant, id)?;
        let Some(record) = self.store.get(&at).await? else { return Ok(None) };
        let opened = Envelope::parse(&record.value)
            .and_then(|envelope| self.root.open(&at, &envelope))
            .map(|text| serde_json::from_slice(&text));
        if let Ok(Ok(usage)) = opened {
            return Ok(Some((usage, record.version)));
        }
        tracing::warn!(target: "seal", key = %at, "it is not known how often a key was used");
        Ok(None)
    }

    /// Puts it on record unless somebody else has since; whether it was.
    async fn record(
        &self,
        tenant: &[u8],
        id: u32,
        usage: Usage,
        version: Version,
    ) -> Result<bool, CommitError> {
        let at = names::tenant_use(tenant, id)?;
        let sealed = self.sealed_usage(&at, usage)?;
        let commit = Commit::new().check_version(at.clone(), version).put(at, sealed);
        match self.store.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sealed_usage(&self, at: &Key, usage: Usage) -> Result<Bytes, CommitError> {
        let text = serde_json::to_vec(&usage)
            .map_err(|error| CommitError::Unavailable(error.to_string()))?;
        self.root.seal(at, &text).map_err(unavailable)
    }

    /// Makes the key after `last`, which is the last one that there is.
    async fn next(
        &self,
        tenant: &[u8],
        last: u32,
        cause: Cause,
    ) -> Result<Arc<Keyring>, CommitError> {
        self.refuse_if_lost(tenant, last).await?;
        self.add(tenant, after(last)?, cause).await
    }

    /// Makes sure that no key of `tenant` after `last` is missing: another one would take its place, and what is sealed
    /// under it would never open again.
    async fn refuse_if_lost(&self, tenant: &[u8], last: u32) -> Result<(), CommitError> {
        const PAGE: usize = 100;
        let mut seen = names::tenant_use(tenant, last)?;
        loop {
            let page = self.store.scan(&names::tenant_uses(tenant), Some(&seen), PAGE).await?;
            for record in &page {
                let opened = Envelope::parse(&record.value)
                    .and_then(|envelope| self.root.open(&record.key, &envelope));
                // One that does not open says nothing.
                if opened.is_ok()
                    && let Some((_, id)) = names::counted_by(&record.key)
                    && id > last
                {
                    self.expect_key(tenant, id).await?;
                }
            }
            match page.into_iter().next_back() {
                Some(record) => seen = record.key,
                None => break,
            }
        }
        // Who has records has a key.
        let is_lost = last == 0 && self.has_records(tenant).await?;
        if is_lost { self.expect_key(tenant, 1).await } else { Ok(()) }
    }

    /// Makes sure that a key is there. Somebody else may have made it since the keyring was loaded.
    async fn expect_key(&self, tenant: &[u8], id: u32) -> Result<(), CommitError> {
        let key = names::tenant_key(tenant, id)?;
        if self.store.get(&key).await?.is_some() {
            return Ok(());
        }
        let reason = "it is missing, and a new one would take its place: take it from a backup (`chancery store \
                      repair --from BACKUP`), or give it up (`--accept-loss TENANT`)";
        Err(CommitError::Damaged { key, reason: reason.to_owned() })
    }

    /// Whether there is a record of `tenant` that is not of the seal.
    async fn has_records(&self, tenant: &[u8]) -> Result<bool, ReadError> {
        const PAGE: usize = 100;
        let (prefix, mut seen) = ([tenant, b"/"].concat(), None::<Key>);
        loop {
            let page = self.store.keys(&prefix, seen.as_ref(), PAGE).await?;
            if page.iter().any(|key| !key.as_bytes().starts_with(names::RESERVED)) {
                return Ok(true);
            }
            match page.into_iter().next_back() {
                Some(key) => seen = Some(key),
                None => return Ok(false),
            }
        }
    }

    /// Makes the key number `id` of `tenant`. If somebody else was quicker, theirs counts.
    async fn add(&self, tenant: &[u8], id: u32, cause: Cause) -> Result<Arc<Keyring>, CommitError> {
        let (at, used) = (names::tenant_key(tenant, id)?, names::tenant_use(tenant, id)?);
        let key = random_key().map_err(unavailable)?;
        let sealed = self.root.seal(&at, key.as_ref()).map_err(unavailable)?;
        let step = self.limits.step.min(self.limits.most);
        let usage = self.sealed_usage(&used, Usage { reserved: step, since: None })?;
        let commit = Commit::new().check_absent(at.clone()).put(at, sealed).put(used, usage);
        let made = match self.store.commit(commit).await {
            Ok(_) => {
                let tenant = String::from_utf8_lossy(tenant);
                tracing::info!(target: "seal", %tenant, id, cause = cause.word(), "made a key for a tenant");
                metrics::counter!("chancery_seal_keys_made_total", "cause" => cause.word())
                    .increment(1);
                true
            }
            Err(CommitError::Conflict { .. }) => false,
            Err(error) => return Err(error),
        };
        let keyring = self.load(tenant).await?;
        if made && keyring.current().is_some_and(|current| current.id() == id) {
            keyring.reserve.add(step);
        }
        Ok(keyring)
    }

    /// The tenants that have a key.
    pub(crate) async fn tenants(&self) -> Result<BTreeSet<Vec<u8>>, ReadError> {
        const PAGE: usize = 1000;
        let (mut tenants, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.store.scan(names::TENANT_KEYS, after.as_ref(), PAGE).await?;
            tenants.extend(page.iter().filter_map(|record| names::tenant_of(&record.key)));
            match page.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => return Ok(tenants),
            }
        }
    }

    /// Makes sure that a record of the seal itself opens. What makes the root key is in the clear: whether it is
    /// good is found out by opening the store with it.
    pub(crate) fn verify(&self, record: &Record) -> Result<(), ReadError> {
        if names::tenant_key_id(&record.key).is_some() {
            return self.open(record).map(drop);
        }
        if record.key.as_bytes() == names::CHECK.as_bytes() || names::is_tenant_use(&record.key) {
            let opened = Envelope::parse(&record.value)
                .and_then(|envelope| self.root.open(&record.key, &envelope));
            return opened.map(drop).map_err(|reason| damaged(&record.key, reason));
        }
        Ok(())
    }

    fn cached(&self, tenant: &[u8]) -> Option<Arc<Keyring>> {
        self.loaded.get(tenant).map(|keyring| keyring.clone())
    }

    async fn load(&self, tenant: &[u8]) -> Result<Arc<Keyring>, ReadError> {
        let records = self.store.scan(&names::tenant_keys(tenant), None, MOST_KEYS).await?;
        let keys = records
            .iter()
            .map(|record| self.open(record).map(|key| (key.id(), key)))
            .collect::<Result<_, _>>()?;
        let keyring = Arc::new(Keyring { keys, reserve: Reserve::default() });
        if let Some(before) = self.cached(tenant)
            && before.current().map(SealingKey::id) == keyring.current().map(SealingKey::id)
        {
            keyring.reserve.take_over(&before.reserve);
        }
        if let Some(current) = keyring.current() {
            // One that was read later is not put back by one that was read before.
            let is_older = |other: &Arc<Keyring>| {
                other.current().is_some_and(|other| other.id() > current.id())
            };
            match self.loaded.entry(Bytes::copy_from_slice(tenant)) {
                Entry::Occupied(other) if is_older(other.get()) => return Ok(other.get().clone()),
                place => drop(place.insert(keyring.clone())),
            }
        }
        Ok(keyring)
    }

    fn open(&self, record: &Record) -> Result<SealingKey, ReadError> {
        let damaged = |reason: Refused| damaged(&record.key, reason);
        let id = names::tenant_key_id(&record.key).ok_or_else(|| damaged(Refused::NoKey))?;
        let envelope = Envelope::parse(&record.value).map_err(damaged)?;
        let key = self.root.open(&record.key, &envelope).map_err(damaged)?;
        let key: &[u8; KEY_LEN] = key.as_slice().try_into().map_err(|_| damaged(Refused::NoKey))?;
        SealingKey::new(id, key).map_err(|_| damaged(Refused::NoKey))
    }
}

/// The number of the key after `last`.
fn after(last: u32) -> Result<u32, CommitError> {
    last.checked_add(1).ok_or_else(|| {
        CommitError::Unavailable("the tenant has had as many keys as there can be".to_owned())
    })
}

/// A fresh key.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; KEY_LEN]>, NotSealed> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| NotSealed)?;
    Ok(key)
}

/// The error for a record that is there and cannot be trusted. It is logged here, because to the
/// caller's caller it may look like any other failure.
pub(crate) fn damaged(key: &Key, reason: Refused) -> ReadError {
    tracing::error!(target: "seal", %key, %reason, "a sealed record was refused");
    ReadError::Damaged { key: key.clone(), reason: reason.to_string() }
}

pub(crate) fn unavailable(error: NotSealed) -> CommitError {
    CommitError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;

    use super::*;

    const SMALL: UseLimits = UseLimits { most: 20, step: 8 };

    fn keyrings(store: &MemoryStore) -> Keyrings {
        let root = SealingKey::new(0, &[7; 32]).unwrap();
        Keyrings::new(Arc::new(store.clone()), root, SMALL)
    }

    /// The number of the key under which the next record is sealed.
    async fn seal(keyrings: &Keyrings) -> u32 {
        keyrings.for_sealing(b"t").await.unwrap().current().unwrap().id()
    }

    #[tokio::test]
    async fn a_key_is_replaced_before_it_has_sealed_too_often() {
        let store = MemoryStore::new();
        let keyrings = keyrings(&store);
        let mut used = BTreeMap::<u32, u64>::new();
        for _ in 0..100 {
            *used.entry(seal(&keyrings).await).or_default() += 1;
        }
        assert!(used.len() > 4, "{used:?}");
        assert!(used.values().all(|uses| *uses <= SMALL.most), "{used:?}");
        // What was sealed before is opened with the old ones.
        let keyring = keyrings.with_key(b"t", 1).await.unwrap();
        assert!(used.keys().all(|id| keyring.get(*id).is_some()));
    }

    #[tokio::test]
    async fn processes_that_end_and_processes_at_once_do_not_make_it_more() {
        let store = MemoryStore::new();
        let mut used = BTreeMap::<u32, u64>::new();
        for _ in 0..30 {
            // Each is killed after a few uses, and what it had on record is gone with it.
            let (one, other) = (keyrings(&store), keyrings(&store));
            for keyrings in [&one, &other, &one] {
                *used.entry(seal(keyrings).await).or_default() += 1;
            }
        }
        assert!(used.values().all(|uses| *uses <= SMALL.most), "{used:?}");
    }

    #[tokio::test]
    async fn many_at_once_use_no_key_too_often() {
        let store = MemoryStore::new();
        let keyrings = Arc::new(keyrings(&store));
        let sealing: Vec<_> = (0..200)
            .map(|_| {
                let keyrings = keyrings.clone();
                tokio::spawn(async move { seal(&keyrings).await })
            })
            .collect();
        let mut used = BTreeMap::<u32, u64>::new();
        for one in sealing {
            *used.entry(one.await.unwrap()).or_default() += 1;
        }
        assert!(used.values().all(|uses| *uses <= SMALL.most), "{used:?}");
        assert_eq!(used.values().sum::<u64>(), 200);
    }

    #[tokio::test]
    async fn a_key_of_which_nobody_has_counted_is_replaced() {
        let store = MemoryStore::new();
        assert_eq!(seal(&keyrings(&store)).await, 1);
        // As an earlier release left it, and with a count that is damaged.
        let count = names::tenant_use(b"t", 1).unwrap();
        store.commit(Commit::new().delete(count)).await.unwrap();
        assert_eq!(seal(&keyrings(&store)).await, 2);
        let count = names::tenant_use(b"t", 2).unwrap();
        store.commit(Commit::new().put(count, "rubbish")).await.unwrap();
        assert_eq!(seal(&keyrings(&store)).await, 3);
    }

    #[tokio::test]
    async fn a_key_that_somebody_else_has_just_made_is_not_missing() {
        let store = MemoryStore::new();
        let keyrings = keyrings(&store);
        for last in 0..3 {
            // Two looked before either made one.
            for _ in 0..2 {
                let made = keyrings.next(b"t", last, Cause::Asked).await.unwrap();
                assert_eq!(made.current().unwrap().id(), last + 1);
            }
            let record = Key::new("t/a").unwrap();
            store.commit(Commit::new().put(record, "")).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_key_is_replaced_after_a_time() {
        let store = MemoryStore::new();
        let keyrings = keyrings(&store);
        assert_eq!(seal(&keyrings).await, 1);
        // From the first look on.
        for (now, rotated, current) in
            [(1000, 0, 1), (1099, 0, 1), (1100, 1, 2), (1101, 0, 2), (1200, 0, 2), (1201, 1, 3)]
        {
            assert_eq!(keyrings.rotate_due(now, 100).await.unwrap(), rotated, "at {now}");
            assert_eq!(seal(&keyrings).await, current, "at {now}");
        }
    }
}
