//! Accounts that nobody uses any more. Making one is free, so they must not stay for ever.

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Commit, Key, Store};
use jiff::Timestamp;

use super::Account;
use crate::Acme;
use crate::config::Limits;
use crate::error::Error;
use crate::id::AccountId;
use crate::records::{self, Stored, commit_unless_changed};

impl Account {
    /// When to look whether it is still used.
    pub(crate) fn due(&self, limits: &Limits) -> Timestamp {
        match self.last_order {
            Some(last) => last + limits.idle_accounts,
            None => self.created + limits.unused_accounts,
        }
    }
}

impl Acme {
    /// Looks at the account behind a key of those that are due: removes it if nobody has used it for long,
    /// or finds another time to look. Whether it was removed.
    ///
    /// What an account proved and got stays as long as it would: certificates in the inventory, orders
    /// until they are over; an account that has any stays with them.
    pub(crate) async fn look_at_account(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        id: AccountId,
        due: &Key,
    ) -> Result<bool, Error> {
        let key = records::account(tenant, id)?;
        let Some(account) = records::load::<Account>(store, key).await? else {
            store.commit(Commit::new().delete(due.clone())).await?;
            return Ok(false);
        };
        let now = self.clock.now();
        let orders = records::orders_of(tenant, id);
        let has_orders = !store.scan(orders.as_bytes(), None, 1).await?.is_empty();
        let next = account.value.due(&self.config.limits);
        if has_orders || next > now {
            // Its last order is over in the retention's time at the earliest.
            let next = next.max(now + self.config.retention);
            let commit = Commit::new()
                .check_version(account.key, account.version)
                .delete(due.clone())
                .put(records::account_due(tenant, next, id)?, Vec::new());
            return commit_unless_changed(store, commit).await.map(|_| false);
        }
        self.remove_account(store, tenant, due, account).await
    }

    async fn remove_account(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        due: &Key,
        account: Stored<Account>,
    ) -> Result<bool, Error> {
        let Account { id, key, created, last_order, .. } = &account.value;
        let context = RequestContext::internal(tenant.clone(), self.clock.now());
        let mut event = Event::new(&context, "acme.account.remove", "account")
            .account(id.to_string())
            .detail("thumbprint", key.thumbprint())
            .detail("created", created.to_string());
        if let Some(last) = last_order {
            event = event.detail("last_order", last.to_string());
        }
        let mut commit = Commit::new()
            .check_version(account.key.clone(), account.version)
            .delete(account.key)
            .delete(due.clone());
        // Its key may be another account's by now only if the records contradict each other.
        let by_key = records::account_of_key(tenant, &key.thumbprint())?;
        if let Some(found) = store.get(&by_key).await?
            && found.value == id.to_string().as_bytes()
        {
            commit = commit.check_version(by_key.clone(), found.version).delete(by_key);
        }
        // Before the commit, as everything that is done.
        self.gate.record(event.succeeded()).await?;
        let removed = commit_unless_changed(store, commit).await?;
        if removed {
            metrics::counter!("chancery_acme_accounts_removed_total").increment(1);
        }
        Ok(removed)
    }
}
