//! The directory: groups of identities, and named data sets, that policies may look up. Operators
//! write it; policies read it from memory, since their deadlines run while they ask. The memory
//! follows the store. If it may be out of date, look-ups fail, and with them what policies decide by
//! them.

mod commands;
mod registry;

use std::collections::{BTreeMap, BTreeSet};

use chancery_identity::{TenantId, Tenants};
use chancery_policy::LookupError;
use chancery_records::{Recorded, ViewError};
use chancery_store::{ReadError, SharedStore};
use serde::{Deserialize, Serialize};

pub use commands::Registered;
pub(crate) use registry::Registry;

/// The identities that belong to a group, as policies name them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub BTreeSet<String>);

/// The keys of a data set with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataSet(pub BTreeMap<String, String>);

impl Recorded for Group {}
impl Recorded for DataSet {}

/// Groups and data sets of every tenant, in the store and in memory. What this process writes is seen
/// at once, what others write as soon as the store has told of it.
pub struct Directory {
    pub(crate) groups: Registry<Group>,
    pub(crate) data_sets: Registry<DataSet>,
}

impl Directory {
    /// The directory of a store in which there is nothing of it yet.
    pub fn new(store: SharedStore) -> Self {
        Self {
            groups: Registry::new(store.clone(), "group", "groups"),
            data_sets: Registry::new(store, "data-set", "data sets"),
        }
    }

    /// Reads the directory of these tenants.
    ///
    /// # Errors
    /// The store cannot be read, or a record in it is damaged.
    pub async fn open(store: SharedStore, tenants: &Tenants) -> Result<Self, ReadError> {
        let directory = Self::new(store);
        for tenant in tenants.all().iter() {
            directory.load(tenant).await?;
        }
        Ok(directory)
    }

    /// Reads the directory of a tenant that there was not when it was opened.
    ///
    /// # Errors
    /// The store cannot be read, or a record in it is damaged.
    pub async fn load(&self, tenant: &TenantId) -> Result<(), ReadError> {
        self.groups.load(tenant).await?;
        self.data_sets.load(tenant).await?;
        Ok(())
    }

    /// Whether the identity is a member of the tenant's group.
    ///
    /// # Errors
    /// There is no such group, or it is not known at the moment what is in it.
    pub fn is_member(
        &self,
        tenant: &TenantId,
        group: &str,
        identity: &str,
    ) -> Result<bool, LookupError> {
        let found = self.groups.get(tenant, group).map_err(|error| not_now(&error))?;
        let group = found.ok_or_else(|| LookupError::Unknown(format!("group `{group}`")))?;
        Ok(group.value.0.contains(identity))
    }

    /// The value of a key in one of the tenant's data sets.
    ///
    /// # Errors
    /// There is no such data set, or it is not known at the moment what is in it.
    pub fn value(
        &self,
        tenant: &TenantId,
        data_set: &str,
        key: &str,
    ) -> Result<Option<String>, LookupError> {
        let found = self.data_sets.get(tenant, data_set).map_err(|error| not_now(&error))?;
        let set = found.ok_or_else(|| LookupError::Unknown(format!("data set `{data_set}`")))?;
        Ok(set.value.0.get(key).cloned())
    }
}

fn not_now(error: &ViewError) -> LookupError {
    LookupError::Unavailable(error.to_string())
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_store::memory::MemoryStore;
    use chancery_store::{Commit, Key, Store as _};
    use std::sync::Arc;

    const APP: &str = "spiffe://example/app";

    fn group() -> Group {
        Group(BTreeSet::from([APP.to_owned()]))
    }

    async fn two_gateways() -> (MemoryStore, Directory, Directory, TenantId) {
        let store = MemoryStore::new();
        let tenant = TenantId::default_tenant();
        let tenants = Tenants::new([tenant.clone()]);
        let open = async || Directory::open(Arc::new(store.clone()), &tenants).await.unwrap();
        let (a, b) = (open().await, open().await);
        (store, a, b, tenant)
    }

    #[tokio::test]
    async fn what_one_gateway_changes_counts_at_the_other() {
        let (_, a, b, tenant) = two_gateways().await;
        let unknown = a.is_member(&tenant, "admins", APP);
        assert!(matches!(unknown, Err(LookupError::Unknown(_))), "{unknown:?}");
        a.groups.put(&tenant, "admins", &group()).await.unwrap();
        assert_eq!(a.is_member(&tenant, "admins", APP), Ok(true), "one's own write, at once");
        while b.is_member(&tenant, "admins", APP) != Ok(true) {
            tokio::task::yield_now().await;
        }
        b.groups.put(&tenant, "admins", &Group::default()).await.unwrap();
        while a.is_member(&tenant, "admins", APP) != Ok(false) {
            tokio::task::yield_now().await;
        }
        a.groups.delete(&tenant, "admins").await.unwrap();
        while b.is_member(&tenant, "admins", APP).is_ok() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_damaged_group_fails_its_own_look_ups_and_no_others() {
        let (store, a, _, tenant) = two_gateways().await;
        a.groups.put(&tenant, "good", &group()).await.unwrap();
        let key = Key::new(format!("{tenant}/access/group/bad")).unwrap();
        store.commit(Commit::new().put(key, "[")).await.unwrap();
        a.groups.load(&tenant).await.unwrap().catch_up().await.unwrap();
        let damaged = a.is_member(&tenant, "bad", APP);
        assert!(matches!(damaged, Err(LookupError::Unavailable(_))), "{damaged:?}");
        assert_eq!(a.is_member(&tenant, "good", APP), Ok(true));
    }
}
