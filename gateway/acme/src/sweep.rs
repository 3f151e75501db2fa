use chancery_identity::TenantId;
use chancery_store::{Commit, Key, Record};

use crate::Acme;
use crate::authorization::Proof;
use crate::error::{Error, InternalError};
use crate::id::OrderId;
use crate::order::Order;
use crate::records;

/// How many orders are looked at in one scan.
const PAGE: usize = 100;

impl Acme {
    /// Deletes orders that ended long ago, with what belongs to them, and returns how many. To be
    /// called now and then, such as every hour: without it the store grows for ever.
    ///
    /// An order goes [`retention`](crate::AcmeConfig::retention) after neither it nor its
    /// authorizations can count any more. Certificates stay in the inventory.
    ///
    /// # Errors
    /// [`Error::Internal`]; what was deleted before stays deleted.
    #[tracing::instrument(name = "acme.sweep", skip_all)]
    pub async fn sweep(&self) -> Result<usize, Error> {
        let lifetime = self.config.order_lifetime.max(self.config.authorization_lifetime);
        let mut count = 0;
        for tenant in self.config.tenants.all().iter() {
            // Ids begin with the time, so what is old comes first.
            let young = OrderId::first_of(self.clock.now() - lifetime - self.config.retention);
            let end = records::order(tenant, young)?;
            let mut after: Option<Key> = None;
            loop {
                let prefix = records::orders(tenant);
                let page = self.store.scan(prefix.as_bytes(), after.as_ref(), PAGE).await?;
                after = page.last().map(|record| record.key.clone());
                let more = page.len() == PAGE && after.as_ref().is_some_and(|last| *last < end);
                for record in page.into_iter().take_while(|record| record.key < end) {
                    count += usize::from(self.delete_order(tenant, record).await?);
                }
                if !more {
                    break;
                }
            }
        }
        metrics::counter!("chancery_acme_orders_deleted_total").increment(count as u64);
        Ok(count)
    }

    async fn delete_order(&self, tenant: &TenantId, record: Record) -> Result<bool, Error> {
        let order: Order = serde_json::from_slice(&record.value)
            .map_err(|error| InternalError::Record { key: record.key.clone(), error })?;
        if matches!(order, Order::Processing(_)) {
            return Ok(false);
        }
        let facts = order.facts();
        let mut commit = Commit::new()
            .check_version(record.key.clone(), record.version)
            .delete(records::order_of(tenant, facts.account, facts.id)?)
            .delete(record.key);
        for id in &facts.authorizations {
            commit = commit
                .delete(records::unfinished_authorization(tenant, *id)?)
                .delete(records::authorization(tenant, *id)?);
        }
        for name in &facts.identifiers {
            // A newer order may have proved the name again.
            let key = records::authorized(tenant, facts.account, name)?;
            let proof = records::load::<Proof>(self.store.as_ref(), key).await?;
            if let Some(proof) = proof.filter(|proof| proof.value.until < self.clock.now()) {
                commit = commit.check_version(proof.key.clone(), proof.version).delete(proof.key);
            }
        }
        self.store.commit(commit).await?;
        Ok(true)
    }
}
