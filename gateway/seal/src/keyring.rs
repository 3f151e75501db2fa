//! The keys of the tenants: kept in the inner store, sealed with the root key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chancery_store::{Commit, CommitError, Key, ReadError, Record, SharedStore};
use dashmap::DashMap;
use zeroize::Zeroizing;

use crate::envelope::{Envelope, KEY_LEN, NotSealed, Refused, SealingKey};
use crate::names;

/// How many keys a tenant may ever have had.
const MOST_KEYS: usize = 100_000;

/// The keys of one tenant. The one with the highest number seals, all open.
pub(crate) struct Keyring {
    keys: BTreeMap<u32, SealingKey>,
}

/// The keyrings of all tenants, loaded when they are first needed.
pub(crate) struct Keyrings {
    store: SharedStore,
    root: SealingKey,
    loaded: DashMap<Bytes, Arc<Keyring>>,
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
    pub(crate) fn new(store: SharedStore, root: SealingKey) -> Self {
        Self { store, root, loaded: DashMap::new() }
    }

    /// The keyring of `tenant` for opening what is under key `id`. Another process may have made
    /// that key since the keyring was loaded, so then it is loaded again.
    pub(crate) async fn with_key(&self, tenant: &[u8], id: u32) -> Result<Arc<Keyring>, ReadError> {
        match self.cached(tenant) {
            Some(keyring) if keyring.get(id).is_some() => Ok(keyring),
            _ => self.load(tenant).await,
        }
    }

    /// The keyring of `tenant` for sealing: it has a current key.
    pub(crate) async fn for_sealing(&self, tenant: &[u8]) -> Result<Arc<Keyring>, CommitError> {
        if let Some(keyring) = self.cached(tenant) {
            return Ok(keyring);
        }
        let keyring = self.load(tenant).await?;
        if keyring.current().is_some() {
            return Ok(keyring);
        }
        self.add(tenant, 1).await
    }

    /// Gives `tenant` a new key, under which everything is sealed from now on, and returns its
    /// number.
    pub(crate) async fn rotate(&self, tenant: &[u8]) -> Result<u32, CommitError> {
        let keyring = self.load(tenant).await?;
        let last = keyring.current().map_or(0, SealingKey::id);
        let next = last.checked_add(1).ok_or_else(|| {
            CommitError::Unavailable("the tenant has had as many keys as there can be".to_owned())
        })?;
        let rotated = self.add(tenant, next).await?;
        Ok(rotated.current().map_or(next, SealingKey::id))
    }

    /// Makes the key number `id` of `tenant`. If somebody else was quicker, theirs counts.
    async fn add(&self, tenant: &[u8], id: u32) -> Result<Arc<Keyring>, CommitError> {
        let at = names::tenant_key(tenant, id)?;
        let key = random_key().map_err(unavailable)?;
        let sealed = self.root.seal(&at, key.as_ref()).map_err(unavailable)?;
        let made = self.store.commit(Commit::new().check_absent(at.clone()).put(at, sealed)).await;
        match made {
            Ok(_) => {
                let tenant = String::from_utf8_lossy(tenant);
                tracing::info!(target: "seal", %tenant, id, "made a key for a tenant");
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self.load(tenant).await?)
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
        if record.key.as_bytes() == names::CHECK.as_bytes() {
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
        let keyring = Arc::new(Keyring { keys });
        if keyring.current().is_some() {
            self.loaded.insert(Bytes::copy_from_slice(tenant), keyring.clone());
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
