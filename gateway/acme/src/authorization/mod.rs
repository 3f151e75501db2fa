//! Authorizations (RFC 8555 §7.1.4, §7.5): an account's proof that it controls one name.

mod progress;
mod proof;
pub mod state;

pub(crate) use progress::{Own, Progress};
pub(crate) use proof::Proof;
pub use state::Authorization;

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Acme;
use crate::account::ActiveAccount;
use crate::error::Error;
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::order::Order;
use crate::order::changes::{Change, Changed};
use crate::records;

/// What does not change about an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub id: AuthorizationId,
    /// Whose it is.
    pub account: AccountId,
    /// The order that wants it.
    pub order: OrderId,
    /// The name as the order has it, `*.` included.
    pub identifier: Identifier,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be proved.
    pub expires: Timestamp,
}

impl Acme {
    /// An authorization of `account`, as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or it is another account's.
    pub async fn authorization(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
    ) -> Result<Authorization, Error> {
        let found = self.find_authorization(&context.tenant, id).await?;
        let found = found.filter(|found| found.facts().account == account.id());
        Ok(found.ok_or(Error::NotFound("authorization"))?.at(self.clock.now()))
    }

    /// Gives an authorization up (RFC 8555 §7.5.2). An order that still needs it becomes invalid.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Malformed`] if it is not pending or valid.
    #[tracing::instrument(name = "acme.authorization.deactivate", skip_all)]
    pub async fn deactivate_authorization(
        self: &std::sync::Arc<Self>,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
    ) -> Result<Authorization, Error> {
        let mut event = Event::new(context, "acme.authorization.deactivate", id.to_string())
            .account(account.id().to_string());
        match self.give_up(context, account, id, &mut event).await {
            // It was given up before, and nothing was done.
            Ok(Changed { authorization, is_new: false }) => Ok(authorization),
            given_up => {
                let given_up = given_up.map(|changed| changed.authorization);
                self.conclude(context, event, given_up).await
            }
        }
    }

    async fn give_up(
        self: &std::sync::Arc<Self>,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
        event: &mut Event,
    ) -> Result<Changed, Error> {
        let found = self.authorization(context, account, id).await?;
        event.add_detail("identifier", found.facts().identifier.to_string());
        self.change(&context.tenant, &found, Change::GiveUp).await
    }

    /// The authorization with this id, as it was stored.
    pub(crate) async fn find_authorization(
        &self,
        tenant: &TenantId,
        id: AuthorizationId,
    ) -> Result<Option<Authorization>, Error> {
        let (order, own) = match id {
            AuthorizationId::Of { order, .. } => (order, None),
            AuthorizationId::Own(_) => match self.own_record(tenant, id).await? {
                Some(Own::Whole(whole)) => (whole.facts().order, Some(Own::Whole(whole))),
                _ => return Ok(None),
            },
        };
        let key = records::order(tenant, order)?;
        let Some(order) = records::load::<Order>(self.store.as_ref(), key).await? else {
            // What is apart and its order are deleted together.
            return Ok(None);
        };
        let order = order.value;
        let Some(place) = order.facts().place_of(id) else { return Ok(None) };
        let progress = order.progress().get(usize::from(place)).cloned().unwrap_or_default();
        let own = match (own, &progress) {
            (None, Progress::Apart(_)) => self.own_record(tenant, id).await?,
            (own, _) => own,
        };
        Authorization::of(order.facts(), place, &progress, own).map(Some)
    }

    /// The record that an authorization has of its own, if it has one.
    pub(crate) async fn own_record(
        &self,
        tenant: &TenantId,
        id: AuthorizationId,
    ) -> Result<Option<Own>, Error> {
        let key = records::authorization(tenant, id)?;
        let Some(record) = self.store.get(&key).await? else { return Ok(None) };
        Ok(Some(Own::decode(id, &record)?))
    }
}
