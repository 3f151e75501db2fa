//! Deletes orders that have ended, their authorizations, unused accounts and expired seats.

use std::sync::PoisonError;

use chancery_identity::TenantId;
use chancery_records::{Fence, decode};
use chancery_store::{Commit, Key, ReadError, Store, lenient};

use crate::Acme;
use crate::account::Account;
use crate::authorization::{Progress, Proof};
use crate::error::Error;
use crate::id::{AuthorizationId, OrderId};
use crate::order::{Authorizations, Order};
use crate::quota;
use crate::records::{self, Stored, commit_unless_changed, unless_damaged};

/// How many things are looked at in one scan, and how many of a kind in one sweep.
const PAGE: usize = 100;
const MOST: usize = 10_000;

/// Removes what is no entry of what is due: this program writes no such entry.
async fn forget(store: &dyn Store, entry: Key) -> Result<(), Error> {
    let reason = "its key does not say what is due when".to_owned();
    lenient::pass_over(ReadError::Damaged { key: entry.clone(), reason })?;
    store.commit(Commit::new().delete(entry)).await?;
    Ok(())
}

impl Acme {
    /// Deletes orders that are over, with what belongs to them, and accounts that nobody uses any more.
    /// Returns how many orders. To be called now and then, under a lease: without it the store grows for ever.
    /// It costs little if nothing is due.
    ///
    /// An order goes [`retention`](crate::AcmeConfig::retention) after neither it nor its
    /// authorizations can count any more. Certificates stay in the inventory.
    ///
    /// # Errors
    /// [`Error::Internal`], also if the lease was lost; what was deleted before stays deleted. What fails for one tenant
    /// does not keep the others.
    #[tracing::instrument(name = "acme.sweep", skip_all)]
    pub async fn sweep(&self, fence: &Fence) -> Result<usize, Error> {
        let store = &*fence.over(&self.store);
        let (mut count, mut failed) = (0, None);
        for tenant in self.config.tenants.all().iter() {
            let swept = self.sweep_tenant(store, tenant, &mut count).await;
            if let Err(error) = unless_damaged(swept) {
                tracing::error!(%error, %tenant, "the orders of a tenant were not looked through");
                failed.get_or_insert(error);
            }
        }
        metrics::counter!("chancery_acme_orders_deleted_total").increment(count as u64);
        failed.map_or(Ok(count), Err)
    }

    /// Does it for one tenant. `count` is how many orders were deleted.
    async fn sweep_tenant(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        count: &mut usize,
    ) -> Result<(), Error> {
        self.adopt(store, tenant).await?;
        let prefix = records::orders_due(tenant);
        for due in self.due(store, &prefix).await? {
            let Some(id) = records::due_id(&prefix, &due) else {
                forget(store, due).await?;
                continue;
            };
            let deleted = self.look_at_order(store, tenant, id, &due).await;
            *count += usize::from(unless_damaged(deleted)?.unwrap_or(false));
        }
        let prefix = records::accounts_due(tenant);
        for due in self.due(store, &prefix).await? {
            let Some(id) = records::due_id(&prefix, &due) else {
                forget(store, due).await?;
                continue;
            };
            unless_damaged(self.look_at_account(store, tenant, id, &due).await)?;
        }
        for prefix in records::seats(tenant) {
            self.sweep_seats(store, prefix).await?;
        }
        Ok(())
    }

    /// Removes seats that nobody has any more: a page at a time, and the next page at the next sweep.
    async fn sweep_seats(&self, store: &dyn Store, prefix: String) -> Result<(), Error> {
        let swept = || self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let after = swept().remove(&prefix);
        let now = self.clock.now();
        let next = quota::sweep(store, &prefix, after.as_ref(), now).await?;
        if let Some(next) = next {
            swept().insert(prefix, next);
        }
        Ok(())
    }

    /// The keys of what is due, of those with this prefix.
    async fn due(&self, store: &dyn Store, prefix: &str) -> Result<Vec<Key>, Error> {
        let end = records::not_due(prefix, self.clock.now())?;
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let page = store.keys(prefix.as_bytes(), keys.last(), PAGE).await?;
            let is_full = page.len() == PAGE;
            let before = keys.len();
            keys.extend(page.into_iter().take_while(|key| *key < end));
            if !is_full || keys.len() < before + PAGE || keys.len() >= MOST {
                return Ok(keys);
            }
        }
    }

    /// Looks at the order behind a key of those that are due: deletes it if it is over, or finds another
    /// time to look. Whether it was deleted.
    async fn look_at_order(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        id: OrderId,
        due: &Key,
    ) -> Result<bool, Error> {
        let key = records::order(tenant, id)?;
        let Some(order) = records::load::<Order>(store, key).await? else {
            store.commit(Commit::new().delete(due.clone())).await?;
            return Ok(false);
        };
        let now = self.clock.now();
        let end = order.value.end(&self.config);
        if end > now || matches!(order.value, Order::Processing(_)) {
            let next = end.max(now + self.config.retention);
            let commit = Commit::new()
                .check_version(order.key, order.version)
                .delete(due.clone())
                .put(records::order_due(tenant, next, id)?, Vec::new());
            return commit_unless_changed(store, commit).await.map(|_| false);
        }
        let commit = self.deletion(store, tenant, order).await?;
        commit_unless_changed(store, commit.delete(due.clone())).await
    }

    async fn deletion(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        order: Stored<Order>,
    ) -> Result<Commit, Error> {
        let facts = order.value.facts();
        let mut commit = Commit::new()
            .check_version(order.key.clone(), order.version)
            .delete(order.key)
            .delete(records::order_of(tenant, facts.account, facts.id)?)
            .delete(records::unfinished_challenges_of(tenant, facts.id)?);
        for (id, progress) in facts.authorizations().into_iter().zip(order.value.progress()) {
            if matches!(id, AuthorizationId::Own(_)) {
                commit = commit
                    .delete(records::unfinished_authorization(tenant, id)?)
                    .delete(records::authorization(tenant, id)?);
            } else if matches!(progress, Progress::Apart(_)) {
                commit = commit.delete(records::authorization(tenant, id)?);
            }
        }
        self.without_old_proofs(store, tenant, &order.value, commit).await
    }

    async fn without_old_proofs(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
        order: &Order,
        mut commit: Commit,
    ) -> Result<Commit, Error> {
        let (facts, now) = (order.facts(), self.clock.now());
        for (name, progress) in facts.identifiers.iter().zip(order.progress()) {
            // Of those that are apart the order may not know.
            let is_known = matches!(facts.authorizations, Authorizations::Within(_));
            if is_known && progress.proved_by().is_none() {
                continue;
            }
            // A newer order may have proved the name again.
            let proofs = Proof::find(store, tenant, facts.account, name).await?;
            for proof in proofs.into_iter().filter(|proof| proof.value.until < now) {
                commit = commit.check_version(proof.key.clone(), proof.version).delete(proof.key);
            }
        }
        Ok(commit)
    }

    /// Puts orders and accounts that earlier versions of the gateway made among those that are due, once.
    /// When such an account last had an order is not known, so that it counts from now.
    async fn adopt(&self, store: &dyn Store, tenant: &TenantId) -> Result<(), Error> {
        let done = records::due(tenant)?;
        // If that is damaged, they are put there once more.
        if unless_damaged(store.get(&done).await)?.flatten().is_some() {
            return Ok(());
        }
        let (prefix, mut after) = (records::orders(tenant), None::<Key>);
        loop {
            let found = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
            let mut commit = Commit::new();
            for record in found.records {
                let Some(order) = unless_damaged(decode::<Order>(&record))? else { continue };
                let (id, end) = (order.value.facts().id, order.value.end(&self.config));
                commit = commit.put(records::order_due(tenant, end, id)?, Vec::new());
            }
            store.commit(commit).await?;
            after = found.next;
            if after.is_none() {
                break;
            }
        }
        self.adopt_accounts(store, tenant).await?;
        store.commit(Commit::new().put(done, Vec::new())).await?;
        Ok(())
    }

    async fn adopt_accounts(&self, store: &dyn Store, tenant: &TenantId) -> Result<(), Error> {
        let (prefix, mut after) = (records::accounts(tenant), None::<Key>);
        loop {
            let found = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
            let mut commit = Commit::new();
            for record in found.records {
                let Some(account) = unless_damaged(decode::<Account>(&record))? else { continue };
                let account = account.value;
                let due = account.due(&self.config.limits);
                commit = commit.put(records::account_due(tenant, due, account.id)?, Vec::new());
                if let Some(used) = account.used(self.clock.now()) {
                    commit = commit
                        .check_version(record.key.clone(), record.version)
                        .put(record.key, records::encode(&used)?);
                }
            }
            // If one of them was changed meanwhile, the page is looked at again.
            if commit_unless_changed(store, commit).await? {
                match found.next {
                    Some(next) => after = Some(next),
                    None => return Ok(()),
                }
            }
        }
    }
}
