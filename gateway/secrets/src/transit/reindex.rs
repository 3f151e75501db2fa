//! Writing anew which keys are due, which follows from the keys themselves.

use chancery_identity::TenantId;
use chancery_store::{Commit, Key, Store, lenient};

use super::TransitError;
use super::storage::{Layout, Loaded, keys_of_tenant, parse_key};

/// How many keys are read at once.
const BATCH: usize = 256;

/// Writes the entries of all keys of a tenant to which something happens by itself.
///
/// # Errors
/// If the store fails. What was written before stays.
pub async fn reindex(store: &dyn Store, tenant: &TenantId) -> Result<(), TransitError> {
    let (prefix, mut after): (String, Option<Key>) = (keys_of_tenant(tenant), None);
    loop {
        let page = lenient::scan(store, prefix.as_bytes(), after.as_ref(), BATCH).await?;
        let mut commit = Commit::new();
        for record in &page.records {
            let due = Loaded::of(record).ok().and_then(|loaded| loaded.key.due());
            if let (Some(due), Some((mount, name))) = (due, parse_key(tenant, &record.key)) {
                let layout = Layout { tenant, mount: &mount };
                commit = commit.put(layout.due(due, &name)?, "");
            }
        }
        if !commit.writes().is_empty() {
            store.commit(commit).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
