//! Rebuilds the indexes of the inventory.

use chancery_identity::TenantId;
use chancery_store::{Commit, CommitError, lenient};

use crate::inventory::{self, Inventory};
use crate::{index, store_key};

/// The form of the indexes that this program writes.
const FORM: &str = "2";

/// How many certificates are given their pointers at once.
const BATCH: usize = 64;

impl Inventory {
    /// Writes all pointers anew, also if they are of this form.
    pub(crate) async fn reindex_anew(&self, tenant: &TenantId) -> Result<(), CommitError> {
        let mark = store_key(format!("{tenant}/issuance/index-form"))?;
        self.store().commit(Commit::new().delete(mark)).await?;
        self.reindex(tenant).await
    }

    /// Writes the pointers of certificates that were stored when there were other indexes. Once it has
    /// come to its end it does nothing; interrupted, it begins again.
    pub(crate) async fn reindex(&self, tenant: &TenantId) -> Result<(), CommitError> {
        let mark = store_key(format!("{tenant}/issuance/index-form"))?;
        let store = self.store();
        // If that is damaged, they are written once more.
        let form = match store.get(&mark).await {
            Err(error) => lenient::pass_over(error).map(|_| None)?,
            form => form?,
        };
        if form.is_some_and(|form| form.value.as_ref() == FORM.as_bytes()) {
            return Ok(());
        }
        let certificates = format!("{tenant}/issuance/certificate/");
        let mut last = None;
        let mut count = 0_usize;
        loop {
            // A certificate whose record is damaged has nothing to be found by.
            let page = lenient::scan(store, certificates.as_bytes(), last.as_ref(), BATCH).await?;
            let mut commit = Commit::new();
            for record in &page.records {
                let entry = match inventory::parse(record) {
                    Ok(entry) => entry,
                    Err(error) => {
                        lenient::pass_over(error)?;
                        continue;
                    }
                };
                for pointer in index::pointers(&entry) {
                    commit = commit.put(store_key(pointer)?, "");
                }
            }
            count = count.saturating_add(page.records.len());
            store.commit(commit).await?;
            last = page.next;
            if last.is_none() {
                break;
            }
        }
        // What there was before: by requester and by key, in the order of serial numbers.
        let outdated = format!("{tenant}/issuance/by-");
        loop {
            let old = self.keys(outdated.as_bytes(), None, BATCH).await?;
            if old.is_empty() {
                break;
            }
            store.commit(old.into_iter().fold(Commit::new(), Commit::delete)).await?;
        }
        store.commit(Commit::new().put(mark, FORM)).await?;
        if count > 0 {
            tracing::info!(%tenant, count, "wrote the indexes of the inventory anew");
        }
        Ok(())
    }
}
