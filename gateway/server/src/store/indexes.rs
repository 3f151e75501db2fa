//! Indexes when a store is repaired. What stands in them follows from other records, and from nothing else: the key of
//! an entry that does not open is somebody's claim, which nobody has sealed.

use std::collections::BTreeSet;

use anyhow::Result;
use chancery_identity::{Clock, TenantId};
use chancery_store::{Key, SharedStore};

use crate::config::Config;

/// Whether this is the key of an entry of an index.
pub(super) fn is_index(key: &Key) -> bool {
    chancery_issuance::is_index(key)
        || chancery_access::is_index(key)
        || chancery_acme::is_index(key)
        || chancery_secrets::transit::is_index(key)
}

/// Writes all entries that follow from records, of the tenants in the configuration and of those that have keys in the
/// store. Entries that follow from no record stay as they are.
///
/// # Errors
/// If the store fails.
pub(super) async fn write_anew(
    store: &SharedStore,
    config: &Config,
    stored: &BTreeSet<Vec<u8>>,
) -> Result<()> {
    let now = Clock::system().now();
    let stored = stored.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
    let tenants: BTreeSet<TenantId> = config.tenant_ids().into_iter().chain(stored).collect();
    for tenant in tenants {
        chancery_issuance::reindex(store.clone(), &tenant).await?;
        chancery_access::reindex(store.clone(), &tenant).await?;
        chancery_acme::reindex(&**store, &tenant, now).await?;
        chancery_secrets::transit::reindex(&**store, &tenant).await?;
    }
    Ok(())
}
