//! Orders (RFC 8555 §7.1.3, §7.4): a request for one certificate.

mod create;
mod csr;
mod finalize;
mod list;
pub mod state;

pub use create::NewOrder;
pub use list::OrderPage;
pub use state::Order;

use chancery_identity::RequestContext;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Acme;
use crate::account::ActiveAccount;
use crate::error::Error;
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::records::{self, Stored};

/// What does not change about an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The names to certify, each once, in the order asked for.
    pub identifiers: Vec<Identifier>,
    /// One authorization for each name, in the same order.
    pub authorizations: Vec<AuthorizationId>,
    /// The profile of the certificate.
    pub profile: Option<String>,
    /// The first moment of validity asked for.
    pub not_before: Option<Timestamp>,
    /// The last moment of validity asked for.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be finished.
    pub expires: Timestamp,
}

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
