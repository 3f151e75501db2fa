use std::sync::Arc;

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError};

use super::{ChallengeType, Task, Whose};
use crate::Acme;
use crate::account::{Account, AccountStatus, ActiveAccount};
use crate::authorization::state::{In, Validating};
use crate::authorization::{Authorization, Proof};
use crate::error::{Error, InternalError};
use crate::failure::{Failure, FailureKind};
use crate::id::AuthorizationId;
use crate::order::Order;
use crate::order::state::Validated;
use crate::records::{self, Stored};

impl Acme {
    /// The client is ready for the challenge `kind` of an authorization (RFC 8555 §7.5.1):
    /// validation begins, and is waited for a moment. Of several responses, the first one counts;
    /// the others see what it led to.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such challenge, [`Error::Malformed`] if the authorization
    /// was given up.
    #[tracing::instrument(name = "acme.challenge.respond", skip_all, fields(kind = kind.as_str()))]
    pub async fn respond(
        self: &Arc<Self>,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
        kind: ChallengeType,
    ) -> Result<Authorization, Error> {
        match self.store_response(context, account, id, kind).await {
            // What comes of it has its line where it is validated.
            Ok(None) => {
                self.begin_validation(context, id).await;
                self.authorization(context, account, id).await
            }
            Ok(Some(begun)) => Ok(begun),
            Err(error) => {
                let event = Event::new(context, "acme.challenge.respond", id.to_string())
                    .account(account.id().to_string())
                    .detail("type", kind.as_str());
                Err(self.refuse(event, error).await)
            }
        }
    }

    /// Writes down that validation begins; the authorization as it is if that is so already.
    async fn store_response(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
        kind: ChallengeType,
    ) -> Result<Option<Authorization>, Error> {
        loop {
            let stored = self.load_authorization(context, account, id).await?;
            if !stored.value.offers().iter().any(|offer| offer.kind == kind) {
                return Err(Error::NotFound("challenge"));
            }
            let pending = match stored.value {
                Authorization::Pending(pending) => pending,
                Authorization::Deactivated(_) => {
                    return Err(Error::Malformed("the authorization was deactivated".to_owned()));
                }
                begun => return Ok(Some(begun)),
            };
            let validating = Authorization::Validating(pending.respond(kind));
            let commit = Commit::new()
                .check_version(stored.key.clone(), stored.version)
                .put(stored.key, records::encode(&validating)?)
                .put(records::unfinished_authorization(&context.tenant, id)?, self.unfinished()?);
            match self.store.commit(commit).await {
                Ok(_) => return Ok(None),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Validates an authorization that is in `Validating`, and writes down what came of it. It stays so
    /// if there was no turn for it, and is taken up again later.
    #[tracing::instrument(name = "acme.challenge.validate", skip_all)]
    pub(crate) async fn validate_authorization(
        &self,
        context: &RequestContext,
        id: AuthorizationId,
    ) -> Result<(), Error> {
        let Some((_, validating)) = self.load_validating(context, id).await? else {
            return Ok(());
        };
        let facts = validating.facts().clone();
        let key = records::account(&context.tenant, facts.account)?;
        let account = records::load::<Account>(self.store.as_ref(), key)
            .await?
            .ok_or_else(|| InternalError::Inconsistent(format!("authorization {id}")))?
            .value;
        let outcome = match account.status {
            // It was put off for too long.
            _ if self.clock.now() > facts.expires => Err(Failure::new(
                FailureKind::Abandoned,
                "there were too many validations under way until the authorization expired",
            )),
            AccountStatus::Valid => {
                let token = validating.offers().iter().find(|one| one.kind == validating.chosen());
                let token = token
                    .ok_or_else(|| InternalError::Inconsistent(format!("authorization {id}")))?;
                let task = Task {
                    identifier: facts.identifier.clone(),
                    kind: validating.chosen(),
                    token: token.token.clone(),
                    thumbprint: account.key.thumbprint(),
                };
                let whose = Whose::new(&task.thumbprint, context.address, &task.identifier);
                let Ok(_turn) = self.validator.turn(&whose).await else {
                    tracing::debug!(identifier = %task.identifier, "no turn to validate: put off");
                    return Ok(());
                };
                self.validator.validate(&task).await
            }
            AccountStatus::Deactivated => {
                Err(Failure::new(FailureKind::Unauthorized, "the account was deactivated"))
            }
        };
        let event = Event::new(context, "acme.challenge.validate", facts.identifier.to_string())
            .account(facts.account.to_string())
            .detail("type", validating.chosen().as_str())
            .detail("order", facts.order.to_string());
        let event = match &outcome {
            Ok(()) => event.succeeded(),
            Err(failure) => {
                event.detail("found", failure.detail.clone()).failed(failure.kind.code())
            }
        };
        // Before the commit: once that is made, anybody who polls sees the outcome.
        self.audit.record(event).await?;
        self.settle(context, id, &outcome).await
    }

    /// Writes the outcome to the authorization and, in the same commit, to its order: nobody sees
    /// the last authorization valid while the order is still pending.
    async fn settle(
        &self,
        context: &RequestContext,
        id: AuthorizationId,
        outcome: &Result<(), Failure>,
    ) -> Result<(), Error> {
        loop {
            let Some((stored, validating)) = self.load_validating(context, id).await? else {
                return Ok(());
            };
            let facts = validating.facts().clone();
            let mut commit = Commit::new()
                .check_version(stored.key.clone(), stored.version)
                .delete(records::unfinished_authorization(&context.tenant, id)?);
            let order = self.order_of(context, facts.order).await?;
            let (authorization, changed) = match outcome {
                Ok(()) => {
                    let now = self.clock.now();
                    let until = now + self.config.authorization_lifetime;
                    let name = Validated {
                        identifier: facts.identifier.clone(),
                        method: validating.chosen(),
                    };
                    let proof = Proof { authorization: id, until };
                    let at =
                        records::authorized(&context.tenant, facts.account, &facts.identifier)?;
                    commit = commit.put(at, records::encode(&proof)?);
                    let changed = match order.value {
                        Order::Pending(order) => Some(order.authorized(id, name)),
                        _ => None,
                    };
                    (Authorization::Valid(validating.proved(now, until)), changed)
                }
                Err(failure) => {
                    let changed = match order.value {
                        Order::Pending(order) => Some(Order::Invalid(order.fail(Failure::new(
                            failure.kind,
                            format!("{}: {failure}", facts.identifier),
                        )))),
                        _ => None,
                    };
                    (Authorization::Invalid(validating.refuted(failure.clone())), changed)
                }
            };
            commit = commit.put(stored.key, records::encode(&authorization)?);
            if let Some(changed) = changed {
                commit = commit
                    .check_version(order.key.clone(), order.version)
                    .put(order.key, records::encode(&changed)?);
            }
            match self.store.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn load_validating(
        &self,
        context: &RequestContext,
        id: AuthorizationId,
    ) -> Result<Option<(Stored<()>, In<Validating>)>, Error> {
        let key = records::authorization(&context.tenant, id)?;
        Ok(records::load::<Authorization>(self.store.as_ref(), key).await?.and_then(|stored| {
            let Stored { key, value, version } = stored;
            match value {
                Authorization::Validating(one) => Some((Stored { key, value: (), version }, one)),
                _ => None,
            }
        }))
    }
}
