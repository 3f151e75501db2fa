//! An operation that the policies allowed, up to its line in the audit log.

use std::borrow::Cow;
use std::time::Duration;

use chancery_audit::{Event, NameList};

use crate::{Denied, Gate, Refused, Session};

/// The error of an operation, as far as the audit log needs to know it.
pub trait Coded: From<Refused> {
    /// Stable code of the reason, for the audit log and metrics.
    fn code(&self) -> &str;
}

/// An operation that the policies allowed and whose end is not recorded yet. Its result is available only
/// through [`finish`](Self::finish), so every answer is in the audit log.
#[must_use = "an operation that is not finished is not on record"]
#[derive(Debug)]
pub struct Authorized<'a> {
    gate: &'a Gate,
    operation: Cow<'static, str>,
    event: Event,
    max_ttl: Option<Duration>,
}

impl Gate {
    /// Asks whether the session may do `operation` to `resource`, with these facts besides the session's own.
    /// A refusal is recorded before it is returned.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn ask(
        &self,
        session: &Session<'_>,
        operation: impl Into<Cow<'static, str>>,
        resource: &str,
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'_>, Refused> {
        self.ask_each(session, operation, &[resource], facts).await
    }

    /// Does the same about several resources, each by itself: one denial denies, and the shortest time counts.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn ask_each(
        &self,
        session: &Session<'_>,
        operation: impl Into<Cow<'static, str>>,
        resources: &[impl AsRef<str>],
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'_>, Refused> {
        let operation = operation.into();
        let all: Vec<&str> = resources.iter().map(AsRef::as_ref).collect();
        let event = Event::about_names(session.context(), &*operation, &NameList::new(&all));
        let mut event = session.named_in(event);
        for (name, value) in &facts {
            event.add_detail(name, value.clone());
        }
        self.ask_for(session, event, operation, &all, facts).await
    }

    /// Does the same for an operation with an event of its own.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn ask_for(
        &self,
        session: &Session<'_>,
        mut event: Event,
        operation: impl Into<Cow<'static, str>>,
        resources: &[&str],
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'_>, Refused> {
        let operation = operation.into();
        if resources.is_empty() {
            // To ask no policy would be to ask nobody who denies.
            let refused = Refused::from(no_resource().about(&operation, ""));
            self.record(refused.recorded_in(event)).await?;
            return Err(refused);
        }
        let mut max_ttl: Option<Duration> = None;
        for resource in resources {
            let answer = self.decide(session, &operation, resource, facts.clone()).await;
            event.add_decisions(answer.decisions);
            match answer.result {
                Ok(grant) => max_ttl = max_ttl.into_iter().chain(grant.max_ttl).min(),
                Err(refused) => {
                    count(operation, "denied");
                    if resources.len() > 1 {
                        event.add_detail("denied", *resource);
                    }
                    self.record(refused.recorded_in(event)).await?;
                    return Err(refused);
                }
            }
        }
        Ok(Authorized { gate: self, operation, event, max_ttl })
    }
}

impl Authorized<'_> {
    /// Ceiling on the time-to-live of the result; none if no policy set one.
    pub fn max_ttl(&self) -> Option<Duration> {
        self.max_ttl
    }

    /// The operation that was allowed, as policies name it.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Adds a fact to the record. Never a secret.
    pub fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.event.add_detail(name, value);
        self
    }

    /// Adds a [keyed hash](Gate::keyed_hash) of a secret to the record.
    pub fn hashed(self, name: &str, secret: &[u8]) -> Self {
        let hash = self.gate.keyed_hash(secret);
        self.detail(name, hash)
    }

    /// Records that the operation had no effect because another request came first. Call it before the
    /// policies are asked about the new state: every decision is recorded.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn overtaken(self) -> Result<(), Refused> {
        Ok(self.gate.record(self.event.failed("overtaken")).await?)
    }

    /// Records that the operation was done.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn succeeded(self) -> Result<(), Refused> {
        self.conclude("success", Event::succeeded).await
    }

    /// Records that the operation could not be done, with the stable code of the reason.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn failed(self, code: &str) -> Result<(), Refused> {
        self.conclude("failed", |event| event.failed(code)).await
    }

    /// Records that a rule of the gateway's own refused what the policies had allowed, with the stable code of
    /// the reason.
    ///
    /// # Errors
    /// The audit log did not take it.
    pub async fn denied(self, code: &str) -> Result<(), Refused> {
        self.conclude("denied", |event| event.denied(code)).await
    }

    async fn conclude(
        self,
        outcome: &'static str,
        end: impl FnOnce(Event) -> Event,
    ) -> Result<(), Refused> {
        count(self.operation, outcome);
        Ok(self.gate.record(end(self.event)).await?)
    }

    /// Records how the operation ended, and only then returns the result.
    ///
    /// # Errors
    /// That of the result; or the audit log did not take the event.
    pub async fn finish<T, E: Coded>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.succeeded().await?,
            Err(error) => self.failed(error.code()).await?,
        }
        result
    }

    /// Does the same for an operation on several inputs, each with a result of its own. It failed if all did.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub async fn finish_each<T, E: Coded>(
        self,
        count: usize,
        result: Result<Vec<Result<T, E>>, E>,
    ) -> Result<Vec<Result<T, E>>, E> {
        let authorized = self.detail("count", count as u64);
        let Ok(each) = &result else { return authorized.finish(result).await };
        let mut errors = each.iter().filter_map(|one| one.as_ref().err());
        let Some(first) = errors.next() else { return authorized.finish(result).await };
        let failed = errors.count() + 1;
        let authorized = authorized.detail("failed", failed as u64);
        if failed < each.len() {
            return authorized.finish(result).await;
        }
        authorized.failed(first.code()).await?;
        result
    }
}

/// A denial because the operation names nothing that policies could be asked about.
fn no_resource() -> Denied {
    Denied::new("no-resource", "the request names nothing that it is about")
}

fn count(operation: Cow<'static, str>, outcome: &'static str) {
    metrics::counter!(
        "chancery_gate_operations_total",
        "operation" => operation, "outcome" => outcome
    )
    .increment(1);
}
