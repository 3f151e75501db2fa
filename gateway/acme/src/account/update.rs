//! Changes the contacts of an account, or deactivates it (RFC 8555 §7.3.2, §7.3.6).

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_store::Commit;

use super::{Account, AccountStatus, ActiveAccount, contact};
use crate::Acme;
use crate::error::Error;
use crate::records::{self, commit_unless_changed};

/// How often a change is tried that others come before.
const TRIES: usize = 20;

/// A change to an account (RFC 8555 §7.3.2, §7.3.6).
#[derive(Debug, Clone, Default)]
pub struct AccountUpdate {
    /// The new contacts; none leaves them.
    pub contact: Option<Vec<String>>,
    /// Give the account up, for good.
    pub deactivate: bool,
}

impl Acme {
    /// Changes an account. What is left out of `update` stays.
    ///
    /// # Errors
    /// What is wrong with the contacts; [`Error::RateLimited`].
    #[tracing::instrument(name = "acme.account.update", skip_all)]
    pub async fn update_account(
        &self,
        context: &RequestContext,
        account: ActiveAccount,
        update: AccountUpdate,
    ) -> Result<Account, Error> {
        if !update.deactivate && update.contact.is_none() {
            return Ok(account.0.value);
        }
        let operation =
            if update.deactivate { "acme.account.deactivate" } else { "acme.account.update" };
        let event = Event::new(context, operation, "account").account(account.id().to_string());
        let changed = self.store_update(context, account, update).await;
        self.conclude(context, event, changed).await
    }

    async fn store_update(
        &self,
        context: &RequestContext,
        ActiveAccount(stored): ActiveAccount,
        update: AccountUpdate,
    ) -> Result<Account, Error> {
        let contacts = update.contact.as_deref().map(contact::parse).transpose()?;
        let mut stored = stored;
        for _ in 0..TRIES {
            let mut changed = stored.value.clone();
            if let Some(contacts) = &contacts {
                changed.contact.clone_from(contacts);
            }
            if update.deactivate {
                changed.status = AccountStatus::Deactivated;
            }
            let commit = Commit::new()
                .check_version(stored.key.clone(), stored.version)
                .put(stored.key.clone(), records::encode(&changed)?);
            let commit = if update.deactivate {
                commit
            } else {
                let now = self.clock.now();
                self.find_change_seats(context, changed.id, now).await?.take(commit, now)?
            };
            if commit_unless_changed(&*self.store, commit).await? {
                return Ok(changed);
            }
            // An order of it came at the same time, or another change.
            let found = records::load(self.store.as_ref(), stored.key).await?;
            stored = ActiveAccount::of(found)?.0;
        }
        Err(Error::Overloaded)
    }
}
