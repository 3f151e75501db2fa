//! Removes the records of expired tokens.

use chancery_records::Fence;
use chancery_store::{Commit, CommitError, Key, ReadError, Store, lenient};

use crate::token::{EXPIRIES, load, parse_expiry_key};
use crate::{Access, AccessError, token};

/// How many expiries are read at once.
const BATCH: usize = 256;

fn damaged(entry: &Key, reason: String) -> ReadError {
    ReadError::Damaged { key: entry.clone(), reason }
}

impl Access {
    /// Removes the records of expired tokens, which nobody can use any more, and returns how many
    /// there were. To be called every now and then, under a lease.
    ///
    /// # Errors
    /// If the store fails or the lease was lost; what was removed before stays removed.
    #[tracing::instrument(name = "access.sweep", skip_all)]
    pub async fn sweep_expired_tokens(&self, fence: &Fence) -> Result<usize, AccessError> {
        let store = fence.over(&self.store);
        let mut removed = 0;
        let mut after: Option<Key> = None;
        loop {
            let entries = store.keys(EXPIRIES.as_bytes(), after.as_ref(), BATCH).await?;
            for entry in &entries {
                let now = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
                match parse_expiry_key(entry) {
                    // Expiries are stored in whole milliseconds, rounded down.
                    Some((expires, token)) if expires < now => {
                        // A token that is damaged lets nobody in, and must not keep the others.
                        let error = match self.sweep(&*store, entry, token).await {
                            Err(AccessError::Read(error)) => error,
                            Err(AccessError::Record(record)) => damaged(
                                entry,
                                format!("the record {record} is not what it should be"),
                            ),
                            swept => {
                                removed += usize::from(swept?);
                                continue;
                            }
                        };
                        lenient::pass_over(error)?;
                    }
                    Some(_) => return Ok(removed),
                    None => {
                        let reason = "its key does not say which token expires when".to_owned();
                        lenient::pass_over(damaged(entry, reason))?;
                        // This program writes no such entry.
                        store.commit(Commit::new().delete(entry.clone())).await?;
                    }
                }
            }
            after = entries.last().cloned();
            if after.is_none() {
                return Ok(removed);
            }
        }
    }

    /// Removes an index entry, and the token it leads to if that has expired.
    async fn sweep(&self, store: &dyn Store, entry: &Key, token: Key) -> Result<bool, AccessError> {
        let mut commit = Commit::new().delete(entry.clone());
        let mut expired = false;
        // A renewal leaves no old entry behind, but a revocation may.
        if let Some(held) = load(store, token).await?
            && held.info.expires <= self.clock.now()
        {
            expired = true;
            commit = token::end(commit, &held)?;
        }
        match store.commit(commit).await {
            Ok(_) => Ok(expired),
            // Revoked, or renewed by a request that was under way: the next round sees which.
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
