//! Writing anew by what tokens are found, and when they expire, which follows from the tokens themselves.

use chancery_identity::TenantId;
use chancery_store::{Commit, Key, SharedStore, lenient};

use crate::token::{self, OfIdentity};
use crate::{Access, AccessError};

/// How many tokens are given their pointers at once.
const BATCH: usize = 256;

impl Access {
    /// Gives a tenant's tokens of earlier releases what they are found by. Once it has come to its end it does
    /// nothing; interrupted, it begins again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn index_tokens(&self, tenant: &TenantId) -> Result<(), AccessError> {
        // If that is damaged, they are written once more.
        let done = match self.store.get(&token::index_form(tenant)?).await {
            Err(error) => lenient::pass_over(error).map(|_| None)?,
            done => done?,
        };
        if done.is_some() { Ok(()) } else { reindex(self.store.clone(), tenant).await }
    }
}

/// Writes by what a tenant's tokens are found anew, and their places among those that expire.
///
/// # Errors
/// If the store fails. What was written before stays.
pub async fn reindex(store: SharedStore, tenant: &TenantId) -> Result<(), AccessError> {
    let form = token::index_form(tenant)?;
    store.commit(Commit::new().delete(form.clone())).await?;
    let old = OfIdentity::of_all(tenant);
    loop {
        let page = store.keys(old.as_bytes(), None, BATCH).await?;
        if page.is_empty() {
            break;
        }
        store.commit(page.into_iter().fold(Commit::new(), Commit::delete)).await?;
    }
    let (mut last, mut count): (Option<Key>, usize) = (None, 0);
    loop {
        // A token whose record is damaged lets nobody in.
        let tokens = token::keys(tenant);
        let page = lenient::scan(&*store, tokens.as_bytes(), last.as_ref(), BATCH).await?;
        let mut commit = Commit::new();
        for record in page.records {
            match token::of_record(record) {
                Ok(held) => {
                    count = count.saturating_add(1);
                    commit = commit
                        .put(OfIdentity::pointer(&held.info, &held.key)?, "")
                        .put(token::expiry_key(held.info.expires, &held.key)?, "");
                }
                Err(error) => tracing::warn!(%error, "passed over a token"),
            }
        }
        if !commit.writes().is_empty() {
            store.commit(commit).await?;
        }
        last = page.next;
        if last.is_none() {
            break;
        }
    }
    store.commit(Commit::new().put(form, "")).await?;
    if count > 0 {
        tracing::info!(%tenant, count, "wrote anew by what tokens are found");
    }
    Ok(())
}
