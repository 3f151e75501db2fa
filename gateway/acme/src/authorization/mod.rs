//! Authorizations (RFC 8555 §7.1.4, §7.5): an account's proof that it controls one name.

pub mod state;

pub use state::Authorization;

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Acme;
use crate::account::ActiveAccount;
use crate::challenge;
use crate::error::{Error, InternalError};
use crate::failure::{Failure, FailureKind};
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::order::Order;
use crate::records::{self, Stored};

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

/// That an account proved a name, apart from any order: what entitles to revoke (RFC 8555 §7.6).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) authorization: AuthorizationId,
    pub(crate) until: Timestamp,
}

impl Authorization {
    /// A new authorization with the challenges that suit its name.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is no randomness for tokens.
    pub fn new(facts: Facts) -> Result<Self, Error> {
        let offers = challenge::offers(&facts.identifier)?;
        Ok(Self::Pending(state::In::new(facts, offers)))
    }
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
        Ok(self.load_authorization(context, account, id).await?.value)
    }

    /// Gives an authorization up (RFC 8555 §7.5.2). An order that still needs it becomes invalid.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Malformed`] if it is not pending or valid.
    #[tracing::instrument(name = "acme.authorization.deactivate", skip_all)]
    pub async fn deactivate_authorization(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
    ) -> Result<Authorization, Error> {
        let mut event = Event::new(context, "acme.authorization.deactivate", id.to_string())
            .account(account.id().to_string());
        let given_up = self.give_up(context, account, id, &mut event).await;
        self.conclude(event, given_up).await
    }

    async fn give_up(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
        event: &mut Event,
    ) -> Result<Authorization, Error> {
        loop {
            let stored = self.load_authorization(context, account, id).await?;
            event.add_detail("identifier", stored.value.facts().identifier.to_string());
            let changed = Authorization::Deactivated(match stored.value {
                Authorization::Pending(one) => one.deactivate(),
                Authorization::Valid(one) => one.deactivate(),
                Authorization::Deactivated(_) => return Ok(stored.value),
                Authorization::Validating(_) | Authorization::Invalid(_) => {
                    return Err(Error::Malformed(
                        "only a pending or valid authorization can be deactivated".to_owned(),
                    ));
                }
            });
            let facts = changed.facts();
            let proof = records::authorized(&context.tenant, facts.account, &facts.identifier)?;
            let mut commit = Commit::new()
                .check_version(stored.key.clone(), stored.version)
                .put(stored.key, records::encode(&changed)?)
                .delete(proof);
            let order = self.order_of(context, facts.order).await?;
            let failure = Failure::new(
                FailureKind::Abandoned,
                format!("the authorization for {} was deactivated", facts.identifier),
            );
            let dead = match order.value {
                Order::Pending(one) => Some(one.fail(failure)),
                Order::Ready(one) => Some(one.fail(failure)),
                Order::Processing(_) | Order::Valid(_) | Order::Invalid(_) => None,
            };
            if let Some(dead) = dead {
                commit = commit
                    .check_version(order.key.clone(), order.version)
                    .put(order.key, records::encode(&Order::Invalid(dead))?);
            }
            match self.store.commit(commit).await {
                Ok(_) => return Ok(changed),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) async fn load_authorization(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
    ) -> Result<Stored<Authorization>, Error> {
        let key = records::authorization(&context.tenant, id)?;
        let stored = records::load::<Authorization>(self.store.as_ref(), key).await?;
        let mut stored = stored
            .filter(|stored| stored.value.facts().account == account.id())
            .ok_or(Error::NotFound("authorization"))?;
        stored.value = stored.value.at(self.clock.now());
        Ok(stored)
    }

    /// The order that an authorization belongs to, as it is now.
    pub(crate) async fn order_of(
        &self,
        context: &RequestContext,
        id: OrderId,
    ) -> Result<Stored<Order>, Error> {
        let key = records::order(&context.tenant, id)?;
        let mut stored = records::load::<Order>(self.store.as_ref(), key)
            .await?
            .ok_or_else(|| InternalError::Inconsistent(format!("order {id}")))?;
        stored.value = stored.value.at(self.clock.now());
        Ok(stored)
    }
}
