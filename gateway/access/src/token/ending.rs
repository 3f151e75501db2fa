//! Ends tokens in the store, also those that are renewed at the same time.

use chancery_store::{Commit, CommitError};

use super::{HeldToken, end, load};
use crate::{Access, AccessError};

/// How many tokens are ended in one commit.
const BATCH: usize = 256;

/// How often a token is ended as it is then, while it is being renewed.
const ATTEMPTS: usize = 8;

impl Access {
    /// Ends these tokens, whatever a renewal makes of them meanwhile.
    pub(crate) async fn end(&self, held: &[HeldToken]) -> Result<(), AccessError> {
        for part in held.chunks(BATCH) {
            let commit = part.iter().try_fold(Commit::new(), end)?;
            match self.store.commit(commit).await {
                Ok(_) => {}
                Err(CommitError::Conflict { .. }) => {
                    for one in part {
                        self.end_changed(one).await?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Ends a token that may have changed since it was loaded.
    async fn end_changed(&self, held: &HeldToken) -> Result<(), AccessError> {
        for _ in 0..ATTEMPTS {
            let Some(now) = load(&*self.store, held.key.clone()).await? else { return Ok(()) };
            match self.store.commit(end(Commit::new(), &now)?).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // It is renewed all the time. Its index entries stay until they are made anew.
        self.store.commit(Commit::new().delete(held.key.clone())).await?;
        Ok(())
    }
}
