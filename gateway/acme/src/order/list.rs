use chancery_identity::RequestContext;
use chancery_store::Key;

use crate::Acme;
use crate::account::ActiveAccount;
use crate::error::Error;
use crate::id::OrderId;
use crate::records;

/// How many orders one page lists.
const PAGE: usize = 100;

/// A part of an account's orders (RFC 8555 §7.1.2.1), oldest first.
#[derive(Debug, Clone)]
pub struct OrderPage {
    /// Their ids.
    pub orders: Vec<OrderId>,
    /// The order after which the next page begins; none if this is the last.
    pub next: Option<OrderId>,
}

impl Acme {
    /// The account's orders after `after`.
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
        let after: Option<Key> = after
            .map(|order| records::order_of(&context.tenant, account.id(), order))
            .transpose()?;
        let found = self.store.scan(prefix.as_bytes(), after.as_ref(), PAGE + 1).await?;
        let mut orders = found
            .iter()
            .map(|record| records::id_in(&record.key))
            .collect::<Result<Vec<OrderId>, _>>()?;
        let more = orders.len() > PAGE;
        orders.truncate(PAGE);
        let next = orders.last().copied().filter(|_| more);
        Ok(OrderPage { orders, next })
    }
}
