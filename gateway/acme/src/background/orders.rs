//! Orders whose certificate is being made. They stand in a queue by the time from which somebody else may take
//! them up, so that what waits for a CA or an HSM costs nothing until it is due.

use std::sync::Arc;
use std::time::Duration;

use chancery_identity::{RequestContext, TenantId};
use chancery_records::Due;
use chancery_store::Commit;
use jiff::Timestamp;

use crate::Acme;
use crate::error::Error;
use crate::id::OrderId;
use crate::order::Order;
use crate::order::awaiting::Awaiting;
use crate::records::{self, unless_damaged};
use crate::under_way::What;

/// How long a certificate that is being made is left to the gateway that began it. This is longer than all of its
/// tries may take: no other gateway may have the certificate made a second time.
const ISSUANCE: Duration = Duration::from_mins(10);
/// How many certificates of resumed orders are made at once: when an HSM comes back, all orders that wait for it are
/// due, and after a start all are resumed.
const ISSUANCES: usize = 64;

impl Acme {
    /// The queue of the orders whose certificate is being made. When an order is due is in its record, too.
    pub(crate) fn issuances(&self, tenant: &TenantId) -> Due {
        Due::new(self.store.clone(), records::issuances_due(tenant))
    }

    /// Until when an order is left to this gateway, which begins to make its certificate.
    pub(crate) fn issuance_due(&self) -> Timestamp {
        self.clock.now() + ISSUANCE
    }

    /// Resumes as many of them as may be made at once, due or not, beginning with those that are due first. The queue
    /// has the others. Returns how many were resumed.
    pub(super) async fn resume_orders(
        self: &Arc<Self>,
        tenant: &TenantId,
        context: &RequestContext,
    ) -> Result<usize, Error> {
        self.adopt_unfinished_orders(tenant).await?;
        let most = ISSUANCES.saturating_sub(self.under_way.issuances());
        let prefix = records::issuances_due(tenant);
        let mut count = 0;
        for key in self.store.keys(prefix.as_bytes(), None, most).await? {
            let Some(id) = unless_damaged(records::id_in(&key))? else { continue };
            self.spawn_issuance(context, id, Awaiting::nobody());
            count += 1;
        }
        Ok(count)
    }

    /// Takes up those that are due and that nobody works on. Returns how many there were.
    pub(super) async fn take_up_orders(
        self: &Arc<Self>,
        tenant: &TenantId,
        context: &RequestContext,
    ) -> Result<usize, Error> {
        let queue = self.issuances(tenant);
        let mut count = 0;
        for entry in queue.entries(self.clock.now(), ISSUANCES).await? {
            if self.under_way.issuances() >= ISSUANCES {
                break;
            }
            let key = queue.key(entry.at, &entry.id)?;
            let Some(id) = unless_damaged(records::id_in(&key))? else { continue };
            let going = (tenant.clone(), What::Issuance(id));
            if self.under_way.change(|all| all.contains(&going)) {
                continue;
            }
            if queue.claim(entry, ISSUANCE).await?.is_some() {
                self.spawn_issuance(context, id, Awaiting::nobody());
                count += 1;
            }
        }
        Ok(count)
    }

    /// Puts orders into the queue that an earlier version of the gateway left unfinished.
    async fn adopt_unfinished_orders(&self, tenant: &TenantId) -> Result<(), Error> {
        for unfinished in self.keys_below(&records::unfinished_orders(tenant)).await? {
            let id = records::id_in::<OrderId>(&unfinished);
            // One that is damaged must not keep the gateway from starting.
            let Some(id) = unless_damaged(id)? else { continue };
            let key = records::order(tenant, id)?;
            loop {
                let mut commit = Commit::new().delete(unfinished.clone());
                let Some(order) = unless_damaged(self.processing(&key).await)? else { break };
                if let Some((order, version)) = order {
                    let due = self.issuance_due();
                    let order = Order::Processing(order.due_at(due));
                    commit = commit
                        .check_version(key.clone(), version)
                        .put(key.clone(), records::encode(&order)?);
                    commit = self.issuances(tenant).add(commit, due, &id.to_string())?;
                }
                if records::commit_unless_changed(self.store.as_ref(), commit).await? {
                    break;
                }
            }
        }
        Ok(())
    }
}
