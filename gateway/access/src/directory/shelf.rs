use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use chancery_identity::TenantId;
use chancery_store::{Commit, CommitError, InvalidKey, Key, ReadError, SharedStore};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many records are read at once.
const BATCH: usize = 100;

/// Named things of one kind, in memory and in the store.
pub(crate) struct Shelf<T> {
    store: SharedStore,
    kind: &'static str,
    items: RwLock<BTreeMap<(TenantId, String), Arc<T>>>,
}

impl<T: Serialize + DeserializeOwned> Shelf<T> {
    pub(crate) fn new(store: SharedStore, kind: &'static str) -> Self {
        Self { store, kind, items: RwLock::default() }
    }

    /// What the things are called in paths and operations.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Reads what the tenant has.
    pub(crate) async fn load(&self, tenant: &TenantId) -> Result<(), ReadError> {
        let prefix = self.prefix(tenant);
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.scan(prefix.as_bytes(), after.as_ref(), BATCH).await?;
            for record in &page {
                let damaged =
                    |reason: String| ReadError::Damaged { key: record.key.clone(), reason };
                let key = String::from_utf8_lossy(record.key.as_bytes());
                let name = key.strip_prefix(&prefix).unwrap_or_default().to_owned();
                let item = serde_json::from_slice(&record.value)
                    .map_err(|error| damaged(error.to_string()))?;
                self.keep(tenant, &name, Some(Arc::new(item)));
            }
            match page.last() {
                Some(last) => after = Some(last.key.clone()),
                None => return Ok(()),
            }
        }
    }

    pub(crate) fn get(&self, tenant: &TenantId, name: &str) -> Option<Arc<T>> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.get(&(tenant.clone(), name.to_owned())).cloned()
    }

    /// The names that the tenant has, sorted.
    pub(crate) fn names(&self, tenant: &TenantId) -> Vec<String> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.keys().filter(|(of, _)| of == tenant).map(|(_, name)| name.clone()).collect()
    }

    /// Stores a thing in place of what had the name.
    pub(crate) async fn put(
        &self,
        tenant: &TenantId,
        name: &str,
        item: T,
    ) -> Result<(), CommitError> {
        let key = self.key(tenant, name)?;
        let value = serde_json::to_vec(&item)
            .map_err(|error| ReadError::Damaged { key: key.clone(), reason: error.to_string() })?;
        self.store.commit(Commit::new().put(key, value)).await?;
        self.keep(tenant, name, Some(Arc::new(item)));
        Ok(())
    }

    pub(crate) async fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), CommitError> {
        self.store.commit(Commit::new().delete(self.key(tenant, name)?)).await?;
        self.keep(tenant, name, None);
        Ok(())
    }

    fn keep(&self, tenant: &TenantId, name: &str, item: Option<Arc<T>>) {
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), name.to_owned());
        match item {
            Some(item) => items.insert(key, item),
            None => items.remove(&key),
        };
    }

    fn prefix(&self, tenant: &TenantId) -> String {
        format!("{tenant}/access/{}/", self.kind)
    }

    fn key(&self, tenant: &TenantId, name: &str) -> Result<Key, InvalidKey> {
        Key::new(format!("{}{name}", self.prefix(tenant)))
    }
}
