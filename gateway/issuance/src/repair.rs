//! Makes derived records anew from their sources, while the gateway is stopped.

use chancery_identity::TenantId;
use chancery_store::{Commit, CommitError, Key, ReadError, SharedStore};

use crate::counts::{self, IssuedCounts};
use crate::index;
use crate::inventory::Inventory;

/// The key of the certificate that an entry of an index leads to; none if it leads nowhere. While that certificate may
/// be there, the entry must not be dropped: without it, the certificate could count for another tenant.
pub fn certificate_of(entry: &Key) -> Option<Key> {
    if !index::is_index(entry) || index::is_form(entry) {
        return None;
    }
    let (tenant, serial) = (index::owner_in(entry).ok()?, index::serial_in(entry).ok()?);
    crate::inventory::certificate_key(&tenant, &serial).ok()
}

/// Whether this is the key of a pointer to a certificate: [`reindex`] writes those that follow from certificates.
pub fn is_index(key: &Key) -> bool {
    index::is_index(key)
}

/// Writes the pointers to all certificates of a tenant anew.
///
/// # Errors
/// If the store fails. What was written before stays.
pub async fn reindex(store: SharedStore, tenant: &TenantId) -> Result<(), CommitError> {
    Inventory::new(store).reindex_anew(tenant).await
}

/// The commit that makes a damaged record anew from its source. None if the record is not a derived one, or if
/// its source is missing.
///
/// # Errors
/// The source cannot be read.
pub async fn remake(store: &SharedStore, key: &Key) -> Result<Option<Commit>, ReadError> {
    if index::is_form(key) {
        // The next start writes all pointers anew, this one too, when it opens the inventory.
        return Ok(Some(Commit::new().delete(key.clone())));
    }
    let Some((tenant, serial)) = counts::certificate_of(key) else { return Ok(None) };
    let entry = Inventory::new(store.clone()).find(&tenant, &serial).await?;
    let Some((entry, _)) = entry else { return Ok(None) };
    IssuedCounts::record(&entry, Commit::new().delete(key.clone())).map(Some)
}
