//! Lists the orders of an account in pages (RFC 8555 §7.1.2.1).

use chancery_identity::RequestContext;
use chancery_store::{Key, lenient};

use crate::Acme;
use crate::account::ActiveAccount;
use crate::error::{Error, InternalError};
use crate::id::OrderId;
use crate::order::Order;
use crate::records;

/// How many orders one page lists.
const PAGE: usize = 100;

/// How many pages are read for one that is answered, if all that they have is invalid orders.
const SCANS: usize = 10;

/// A part of an account's orders (RFC 8555 §7.1.2.1), oldest first, without those that came to nothing.
#[derive(Debug, Clone)]
pub struct OrderPage {
    /// Their ids.
    pub orders: Vec<OrderId>,
    /// The order after which the next page begins; none if this is the last.
    pub next: Option<OrderId>,
}

impl Acme {
    /// The account's orders after `after`. A page may have few or none and still not be the last.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub async fn orders(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        after: Option<OrderId>,
    ) -> Result<OrderPage, Error> {
        let prefix = records::orders_of(&context.tenant, account.id());
        let now = self.clock.now();
        let mut page = OrderPage { orders: Vec::new(), next: after };
        for _ in 0..SCANS {
            let after: Option<Key> = page
                .next
                .map(|order| records::order_of(&context.tenant, account.id(), order))
                .transpose()?;
            let found = self.store.scan(prefix.as_bytes(), after.as_ref(), PAGE).await?;
            let more = found.len() == PAGE;
            for record in found {
                let id: OrderId = records::id_in(&record.key)?;
                page.next = Some(id);
                let key = records::order(&context.tenant, id)?;
                let order = match records::load::<Order>(self.store.as_ref(), key).await {
                    // One that is damaged must not hide the others.
                    Err(Error::Internal(InternalError::Read(error))) => {
                        lenient::pass_over(error)?;
                        continue;
                    }
                    order => order?,
                };
                let is_invalid = |order: Order| matches!(order.at(now), Order::Invalid(_));
                if order.is_some_and(|order| !is_invalid(order.value)) {
                    page.orders.push(id);
                }
            }
            if !more {
                page.next = None;
            }
            if !page.orders.is_empty() || page.next.is_none() {
                break;
            }
        }
        Ok(page)
    }
}
