//! Orders (RFC 8555 §7.1.3, §7.4): a request for one certificate. Its authorizations are part of it.

pub(crate) mod awaiting;
pub(crate) mod change;
pub(crate) mod changes;
mod compact;
mod create;
mod csr;
mod facts;
mod finalize;
mod list;
mod put_off;
mod putting_off;
mod record;
mod seats;
pub mod state;
mod tokens;

pub use create::NewOrder;
pub use facts::{Authorizations, Facts};
pub use list::OrderPage;
pub use put_off::PutOff;
pub use state::Order;
pub use tokens::TokenKey;

use chancery_identity::RequestContext;

use crate::Acme;
use crate::account::ActiveAccount;
use crate::error::Error;
use crate::id::OrderId;
use crate::records::{self, Stored};

impl Acme {
    /// An order of `account`, as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or it is another account's.
    pub async fn order(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: OrderId,
    ) -> Result<Order, Error> {
        Ok(self.load_order(context, account, id).await?.value)
    }

    async fn load_order(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: OrderId,
    ) -> Result<Stored<Order>, Error> {
        let key = records::order(&context.tenant, id)?;
        let stored = records::load::<Order>(self.store.as_ref(), key).await?;
        let mut stored = stored
            .filter(|stored| stored.value.facts().account == account.id())
            .ok_or(Error::NotFound("order"))?;
        stored.value = stored.value.at(self.clock.now());
        Ok(stored)
    }
}
