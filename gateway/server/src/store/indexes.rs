//! Indexes when a store is repaired. What stands in them follows from other records, and from nothing else: the key of
//! an entry that does not open is somebody's claim, which nobody has sealed.

use anyhow::Result;
use chancery_identity::Clock;
use chancery_store::{Key, SharedStore};

use crate::config::Config;

/// Whether this is the key of an entry of an index.
pub(super) fn is_index(key: &Key) -> bool {
    chancery_issuance::is_index(key)
        || chancery_access::is_index(key)
        || chancery_acme::is_index(key)
        || chancery_secrets::transit::is_index(key)
}

/// Writes all entries that follow from records. Entries that do not stay as they are.
///
/// # Errors
/// If the store fails.
pub(super) async fn write_anew(store: &SharedStore, config: &Config) -> Result<()> {
    let now = Clock::system().now();
    for tenant in config.tenant_ids() {
        chancery_issuance::reindex(store.clone(), &tenant).await?;
        chancery_access::reindex(store.clone(), &tenant).await?;
        chancery_acme::reindex(&**store, &tenant, now).await?;
        chancery_secrets::transit::reindex(&**store, &tenant).await?;
    }
    Ok(())
}
