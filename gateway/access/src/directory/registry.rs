//! Groups or data sets of each tenant, in the store and in a view in memory that follows the store.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chancery_identity::TenantId;
use chancery_records::{Items, Recorded, Stored, Table, View, ViewError, encode};
use chancery_store::{Commit, ReadError, SharedStore};

use crate::AccessError;

/// How old the knowledge may be that policies decide by.
const GREATEST_AGE: Duration = Duration::from_secs(30);

/// Named things of one kind, in the store and in memory. What another gateway writes is seen here as
/// soon as the store has told of it.
pub(crate) struct Registry<T> {
    store: SharedStore,
    kind: &'static str,
    /// What they are called in errors.
    plural: &'static str,
    views: RwLock<BTreeMap<TenantId, Arc<View<T>>>>,
}

impl<T: Recorded + Send + Sync + 'static> Registry<T> {
    pub(crate) fn new(store: SharedStore, kind: &'static str, plural: &'static str) -> Self {
        Self { store, kind, plural, views: RwLock::default() }
    }

    /// What the things are called in paths and operations.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Reads what the tenant has, and follows it from now on.
    pub(crate) async fn load(&self, tenant: &TenantId) -> Result<Arc<View<T>>, ReadError> {
        if let Some(view) = self.view(tenant) {
            return Ok(view);
        }
        let table = Table::new(self.store.clone(), format!("{tenant}/access/{}/", self.kind));
        let view = View::open(self.plural, table, GREATEST_AGE, Items::default).await?;
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been faster.
        Ok(views.entry(tenant.clone()).or_insert_with(|| Arc::new(view)).clone())
    }

    /// What has this name in the tenant.
    pub(crate) fn get(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Arc<Stored<T>>>, ViewError> {
        self.view(tenant).map_or(Ok(None), |view| view.get(name))
    }

    /// The names that the tenant has, sorted.
    pub(crate) fn names(&self, tenant: &TenantId) -> Result<Vec<String>, ViewError> {
        let Some(view) = self.view(tenant) else { return Ok(Vec::new()) };
        Ok(view.known()?.ids().map(str::to_owned).collect())
    }

    /// Stores a thing in place of what had the name.
    pub(crate) async fn put(
        &self,
        tenant: &TenantId,
        name: &str,
        item: &T,
    ) -> Result<(), AccessError> {
        let view = self.load(tenant).await?;
        let key = view.table().key(name)?;
        let value = encode(&key, item)?;
        self.store.commit(Commit::new().put(key, value)).await?;
        Ok(view.catch_up().await?)
    }

    pub(crate) async fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), AccessError> {
        let view = self.load(tenant).await?;
        self.store.commit(Commit::new().delete(view.table().key(name)?)).await?;
        Ok(view.catch_up().await?)
    }

    fn view(&self, tenant: &TenantId) -> Option<Arc<View<T>>> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.get(tenant).cloned()
    }
}
