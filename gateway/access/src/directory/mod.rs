//! The directory: groups of identities, and named data sets, that policies may look up. Operators
//! write it; policies read it from memory, since their deadlines run while they ask.

mod commands;
mod shelf;

use std::collections::{BTreeMap, BTreeSet};

use chancery_identity::{TenantId, Tenants};
use chancery_policy::LookupError;
use chancery_store::{ReadError, SharedStore};
use serde::{Deserialize, Serialize};

pub use commands::Shelved;
pub(crate) use shelf::Shelf;

/// The identities that belong to a group, as policies name them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(pub BTreeSet<String>);

/// The keys of a data set with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataSet(pub BTreeMap<String, String>);

/// Groups and data sets of every tenant, in memory and in the store. One per gateway; what this
/// process writes is seen at once.
pub struct Directory {
    pub(crate) groups: Shelf<Group>,
    pub(crate) data_sets: Shelf<DataSet>,
}

impl Directory {
    /// The directory of a store in which there is nothing of it yet.
    pub fn new(store: SharedStore) -> Self {
        Self {
            groups: Shelf::new(store.clone(), "group"),
            data_sets: Shelf::new(store, "data-set"),
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
        self.data_sets.load(tenant).await
    }

    /// Whether the identity is a member of the tenant's group.
    ///
    /// # Errors
    /// There is no such group.
    pub fn is_member(
        &self,
        tenant: &TenantId,
        group: &str,
        identity: &str,
    ) -> Result<bool, LookupError> {
        let found = self.groups.get(tenant, group);
        let group = found.ok_or_else(|| LookupError::Unknown(format!("group `{group}`")))?;
        Ok(group.0.contains(identity))
    }

    /// The value of a key in one of the tenant's data sets.
    ///
    /// # Errors
    /// There is no such data set.
    pub fn value(
        &self,
        tenant: &TenantId,
        data_set: &str,
        key: &str,
    ) -> Result<Option<String>, LookupError> {
        let found = self.data_sets.get(tenant, data_set);
        let set = found.ok_or_else(|| LookupError::Unknown(format!("data set `{data_set}`")))?;
        Ok(set.0.get(key).cloned())
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}
