//! Takes a client's response to a challenge (RFC 8555 §7.5.1), validates the authorization and stores the outcome.

use std::sync::Arc;

use chancery_audit::Event;
use chancery_identity::RequestContext;

use super::{ChallengeType, Task, Whose};
use crate::Acme;
use crate::account::{Account, AccountStatus, ActiveAccount};
use crate::authorization::Authorization;
use crate::error::{Error, InternalError};
use crate::failure::{Failure, FailureKind};
use crate::id::AuthorizationId;
use crate::order::changes::{Change, Changed};
use crate::records;

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
        match self.begin_response(context, account, id, kind).await {
            // What comes of it has its line where it is validated.
            Ok(Changed { is_new: true, .. }) => {
                self.begin_validation(context, id).await;
                self.authorization(context, account, id).await
            }
            Ok(Changed { authorization, .. }) => Ok(authorization),
            Err(error) => {
                let event = Event::new(context, "acme.challenge.respond", id.to_string())
                    .account(account.id().to_string())
                    .detail("type", kind.as_str());
                Err(self.refuse(context, event, error).await)
            }
        }
    }

    /// Writes down that validation begins, unless it has begun already.
    async fn begin_response(
        self: &Arc<Self>,
        context: &RequestContext,
        account: &ActiveAccount,
        id: AuthorizationId,
        kind: ChallengeType,
    ) -> Result<Changed, Error> {
        let found = self.authorization(context, account, id).await?;
        self.change(&context.tenant, &found, Change::Respond(kind)).await
    }

    /// Validates an authorization that is in `Validating`, and writes down what came of it. It stays so
    /// if there was no turn for it or the gateway could not look, and is taken up again later.
    #[tracing::instrument(name = "acme.challenge.validate", skip_all)]
    pub(crate) async fn validate_authorization(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) -> Result<(), Error> {
        let found = self.find_authorization(&context.tenant, id).await?;
        let Some(found) = found else { return Ok(()) };
        let Authorization::Validating(validating) = &found else { return Ok(()) };
        let facts = validating.facts();
        let key = records::account(&context.tenant, facts.account)?;
        let account = records::load::<Account>(self.store.as_ref(), key)
            .await?
            .ok_or_else(|| InternalError::Inconsistent(format!("authorization {id}")))?
            .value;
        let outcome = match account.status {
            // It was put off for too long.
            _ if self.clock.now() > facts.expires => Err(Failure::new(
                FailureKind::Abandoned,
                "there were too many validations under way, or the server could not look, until the \
                 authorization expired: order again",
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
                match self.validator.validate(&task).await {
                    Err(failure) if failure.kind == FailureKind::Internal => {
                        let identifier = &task.identifier;
                        tracing::warn!(%identifier, %failure, "cannot validate now: put off");
                        return Ok(());
                    }
                    outcome => outcome,
                }
            }
            AccountStatus::Deactivated => {
                Err(Failure::new(FailureKind::Unauthorized, "the account was deactivated"))
            }
        };
        let event = Event::new(context, "acme.challenge.validate", facts.identifier.to_string())
            .account(facts.account.to_string())
            .detail("type", validating.chosen().as_str())
            .detail("order", facts.order.to_string());
        // Before the commit: once that is made, anybody who polls sees the outcome.
        match &outcome {
            Ok(()) => self.gate.record(event.succeeded()).await?,
            Err(failure) => {
                let event = event.detail("found", failure.detail.clone());
                let event = event.failed(failure.kind.code());
                self.gate.record_unsuccessful(context, event).await?;
            }
        }
        match self.change(&context.tenant, &found, Change::Settle(outcome)).await {
            // It was deleted meanwhile.
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
