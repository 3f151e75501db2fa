use std::time::Duration;

use chancery_audit::{Decision, Event};
use chancery_identity::RequestContext;
use chancery_policy::{AccessRequest, Denial, Evaluation, context_attributes};

use crate::{Access, AccessError, Caller, Unauthenticated, bearer};

/// The attribute that tells policies whether the token that was shown, or is asked for, is worth nothing
/// without the certificate that obtained it.
pub(crate) const TOKEN_BOUND: &str = "token.bound";

/// The policies allowed it.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Ceiling on the time-to-live of whatever is handed out; none if no policy set one.
    pub max_ttl: Option<Duration>,
    /// What each policy said, for the audit line of the operation.
    pub decisions: Vec<Decision>,
}

/// The policies refused it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Stable code of the reason.
    pub code: String,
    /// For the caller.
    pub message: String,
    /// What the policies were asked, as `OPERATION on RESOURCE`; none if they were not. The caller sent it.
    pub asked: Option<String>,
    /// For the audit log.
    pub reason: String,
    /// What each policy said, for the audit line of the operation.
    pub decisions: Vec<Decision>,
}

impl Access {
    /// Asks the policies whether the caller may do `operation` to `resource`, unless what the caller was
    /// authenticated by has ended since. Recording the answer is left to the operation, so that one line
    /// of the audit log tells all of it.
    ///
    /// # Errors
    /// The refusal; [`Refusal::recorded_in`] puts it into the operation's event.
    #[tracing::instrument(name = "access.authorize", skip_all, fields(operation))]
    pub async fn authorize(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
        attributes: Vec<(String, String)>,
    ) -> Result<Grant, Refusal> {
        if let Err(reason) = self.still_authenticated(context, caller) {
            return Err(Refusal::unauthenticated(&reason));
        }
        if caller.is_bearer() && !bearer::may(operation) {
            return Err(Refusal::of_bearer(operation, resource));
        }
        let mut attributes = attributes;
        attributes.extend(context_attributes(context));
        attributes.push(("evidence".to_owned(), caller.evidence().to_owned()));
        if let Some(token) = caller.token() {
            attributes.push(("role".to_owned(), token.role.clone()));
            attributes.push((TOKEN_BOUND.to_owned(), token.is_bound().to_string()));
        }
        let request = AccessRequest {
            tenant: caller.identity().tenant.clone(),
            identity: caller.identity().to_string(),
            operation: operation.to_owned(),
            resource: resource.to_owned(),
            attributes,
        };
        let verdict = self.policy.decide_access(&request).await;
        let decisions = decisions(verdict.evaluations);
        match verdict.decision {
            Ok(grant) => Ok(Grant { max_ttl: grant.max_ttl, decisions }),
            Err(denial) => Err(Refusal {
                code: denial.code,
                message: denial.message,
                asked: Some(asked(operation, resource)),
                reason: denial.audit,
                decisions,
            }),
        }
    }
}

impl Refusal {
    /// Policies are asked about somebody, and nobody is there any more.
    fn unauthenticated(reason: &Unauthenticated) -> Self {
        Self {
            code: reason.code().to_owned(),
            message: reason.to_string(),
            asked: None,
            reason: reason.to_string(),
            decisions: Vec::new(),
        }
    }

    /// What a bearer token is not good for, whatever policies would say.
    fn of_bearer(operation: &str, resource: &str) -> Self {
        Self {
            code: "bearer-token".to_owned(),
            message:
                "this needs the client certificate: a bearer token reads, uses and writes secrets, \
                      and does not administer or approve"
                    .to_owned(),
            asked: Some(asked(operation, resource)),
            reason: String::new(),
            decisions: Vec::new(),
        }
    }

    /// What identities of other tenants than the one that administers the installation may not, whatever
    /// their policies would say.
    pub(crate) fn of_other_tenant(operation: &str, resource: &str) -> Self {
        Self {
            code: "not-administration-tenant".to_owned(),
            message:
                "this acts on all tenants: use an identity of the tenant that administers the \
                      installation (`administration.tenant` in its configuration)"
                    .to_owned(),
            asked: Some(asked(operation, resource)),
            reason: String::new(),
            decisions: Vec::new(),
        }
    }

    /// Whether the policies were not asked because too many decisions are waiting: the same request
    /// may succeed later.
    pub fn is_overload(&self) -> bool {
        self.code == Denial::OVERLOADED
    }

    /// Why it was refused, for the caller: the policy's words, and what it was asked.
    pub fn told(&self) -> String {
        match &self.asked {
            Some(asked) => format!("{} ({asked})", self.message),
            None => self.message.clone(),
        }
    }

    /// The same refusal for a caller who must not learn what it was about.
    #[must_use]
    pub(crate) fn about_something_hidden(self, operation: &str) -> Self {
        Self { asked: Some(operation.to_owned()), ..self }
    }

    /// The event of the operation that was refused, ready to be recorded.
    pub fn recorded_in(&self, event: Event) -> Event {
        let event = event.decisions(self.decisions.iter().cloned()).denied(self.code.clone());
        if self.reason.is_empty() { event } else { event.detail("reason", self.reason.clone()) }
    }
}

impl From<Refusal> for AccessError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_overload() {
            return Self::Overloaded;
        }
        Self::Denied { message: refusal.told(), code: refusal.code }
    }
}

/// What is asked, in words.
fn asked(operation: &str, resource: &str) -> String {
    if resource.is_empty() { operation.to_owned() } else { format!("{operation} on {resource}") }
}

/// The policies' evaluations as the audit log keeps them.
pub fn decisions(evaluations: Vec<Evaluation>) -> Vec<Decision> {
    evaluations
        .into_iter()
        .map(|evaluation| Decision {
            binding: evaluation.binding,
            plugin: evaluation.plugin,
            digest: evaluation.digest,
            version: evaluation.version,
            micros: evaluation.micros,
            outcome: evaluation.outcome,
            detail: evaluation.detail,
        })
        .collect()
}

impl Access {
    /// Asks the policies; a refusal is recorded and returned, after a permission the caller finishes the
    /// event.
    pub(crate) async fn may(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
    ) -> Result<Event, AccessError> {
        let event = caller.event(context, operation, resource);
        match self.authorize(context, caller, operation, resource, Vec::new()).await {
            Ok(grant) => Ok(event.decisions(grant.decisions)),
            Err(refusal) => {
                self.audit.record(refusal.recorded_in(event)).await?;
                Err(refusal.into())
            }
        }
    }
}
