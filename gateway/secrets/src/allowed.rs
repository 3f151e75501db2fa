use std::time::Duration;

use chancery_access::Caller;
use chancery_audit::{AuditError, Event, NameList};
use chancery_identity::RequestContext;

use crate::Secrets;

/// The error of an engine's operations, as far as policy questions and audit records need to know it.
pub(crate) trait OperationError: From<AuditError> {
    /// The policies refused.
    fn denied(code: String, message: String) -> Self;

    /// The policies could not be asked because too many decisions are waiting.
    fn overloaded() -> Self;

    /// Stable code of the reason, for the audit log and metrics.
    fn code(&self) -> &str;
}

/// An operation that the policies allowed and whose end is not recorded yet. Its result is available only
/// through [`finish`](Self::finish), so every answer is in the audit log.
#[must_use]
pub(crate) struct Allowed<'a> {
    secrets: &'a Secrets,
    operation: &'static str,
    event: Event,
    max_ttl: Option<Duration>,
}

impl<'a> Allowed<'a> {
    /// Asks the policies, which get the `facts` as attributes; records and returns a refusal.
    pub(crate) async fn ask<E: OperationError>(
        secrets: &'a Secrets,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        resource: &str,
        facts: Vec<(String, String)>,
    ) -> Result<Self, E> {
        let resources = std::slice::from_ref(&resource);
        Self::ask_each(secrets, context, caller, operation, resources, facts).await
    }

    /// Does the same about several resources, each by itself: one denial denies, and the shortest time
    /// counts.
    pub(crate) async fn ask_each<E: OperationError>(
        secrets: &'a Secrets,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        resources: &[impl AsRef<str>],
        facts: Vec<(String, String)>,
    ) -> Result<Self, E> {
        let all: Vec<&str> = resources.iter().map(AsRef::as_ref).collect();
        let event = Event::about_names(context, operation, &NameList::new(&all));
        let mut event = caller.named_in(event);
        for (name, value) in &facts {
            event = event.detail(name, value.clone());
        }
        let mut max_ttl: Option<Duration> = None;
        for resource in all {
            let asked =
                secrets.access.authorize(context, caller, operation, resource, facts.clone()).await;
            match asked {
                Ok(grant) => {
                    max_ttl = max_ttl.into_iter().chain(grant.max_ttl).min();
                    event = event.decisions(grant.decisions);
                }
                Err(refusal) => {
                    count_outcome(operation, "denied");
                    if resources.len() > 1 {
                        event = event.detail("denied", resource);
                    }
                    secrets.audit.record(refusal.recorded_in(event)).await?;
                    if refusal.is_overload() {
                        return Err(E::overloaded());
                    }
                    return Err(E::denied(refusal.code.clone(), refusal.told()));
                }
            }
        }
        Ok(Self { secrets, operation, event, max_ttl })
    }

    /// Ceiling on the time-to-live of the result; none if no policy set one.
    pub(crate) fn max_ttl(&self) -> Option<Duration> {
        self.max_ttl
    }

    /// The operation that was allowed, as policies name it.
    pub(crate) fn operation(&self) -> &'static str {
        self.operation
    }

    /// Adds a fact to the record. Never a secret.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.event = self.event.detail(name, value);
        self
    }

    /// Adds a keyed hash of a secret: the holder of the audit log's key can tell where a leaked value was
    /// written and read, and nobody learns the value from the log.
    pub(crate) fn hashed(self, name: &str, secret: &[u8]) -> Self {
        let hash = self.secrets.audit.keyed_hash(secret);
        self.detail(name, hash)
    }

    /// Records that the operation had no effect because another request came first. Call it before the
    /// policies are asked about the new state: every decision is recorded.
    pub(crate) async fn overtaken(self) -> Result<(), AuditError> {
        self.secrets.audit.record(self.event.failed("overtaken")).await
    }

    /// Does the same for an operation on several inputs, each with a result of its own. It failed if all
    /// did.
    pub(crate) async fn finish_each<T, E: OperationError>(
        self,
        count: usize,
        result: Result<Vec<Result<T, E>>, E>,
    ) -> Result<Vec<Result<T, E>>, E> {
        let allowed = self.detail("count", count as u64);
        let Ok(each) = &result else { return allowed.finish(result).await };
        let mut errors = each.iter().filter_map(|one| one.as_ref().err());
        let Some(first) = errors.next() else { return allowed.finish(result).await };
        let failed = errors.count() + 1;
        let allowed = allowed.detail("failed", failed as u64);
        if failed < each.len() {
            return allowed.finish(result).await;
        }
        count_outcome(allowed.operation, "failed");
        allowed.secrets.audit.record(allowed.event.failed(first.code())).await?;
        result
    }

    /// Records how the operation ended, and only then returns the result.
    pub(crate) async fn finish<T, E: OperationError>(self, result: Result<T, E>) -> Result<T, E> {
        let event = match &result {
            Ok(_) => self.event.succeeded(),
            Err(error) => self.event.failed(error.code()),
        };
        count_outcome(self.operation, if result.is_ok() { "success" } else { "failed" });
        self.secrets.audit.record(event).await?;
        result
    }
}

fn count_outcome(operation: &'static str, outcome: &'static str) {
    metrics::counter!(
        "chancery_secrets_operations_total",
        "operation" => operation, "outcome" => outcome
    )
    .increment(1);
}
