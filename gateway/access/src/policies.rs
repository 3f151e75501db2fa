//! What administrators do with the set of policies: see what is in force, have it loaded anew, go back.
//! The set is that of all tenants, so it takes an administrator of the installation. Each operation asks the
//! policies that are in force and leaves a line in the audit log.

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_policy::{InForce, LoadError, PolicyHost, Restored, Summary, TakenSet};

use crate::{Access, AccessError, Caller};

/// The set of policies in force, and those before it.
#[derive(Debug, Clone)]
pub struct PolicySetView {
    /// The set.
    pub summary: Summary,
    /// Its bindings.
    pub bindings: Vec<InForce>,
    /// The sets that came into force so far, the newest first.
    pub history: Vec<TakenSet>,
}

impl Access {
    /// What is in force and what was: `policy-set.read`.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn policy_set(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<PolicySetView, AccessError> {
        let (_, event) = self.may_administer(context, caller, "policy-set.read", "").await?;
        let read = |host: &PolicyHost| {
            let (summary, bindings) = (host.summary(), host.in_force());
            Ok(PolicySetView { summary, bindings, history: host.history()? })
        };
        let done = self.policy.reading(read).await;
        self.conclude(event, done, |event, _| event).await
    }

    /// Loads the directory of policies anew: `policy-set.reload`.
    ///
    /// # Errors
    /// [`AccessError::Policies`] if the set is not taken, and as for every operation.
    pub async fn reload_policies(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<Summary, AccessError> {
        let (_, event) = self.may_administer(context, caller, "policy-set.reload", "").await?;
        let done = self.policy.blocking(PolicyHost::reload).await;
        self.conclude(event, done, in_force).await
    }

    /// Puts the set `number` back, or the one before the newest: `policy-set.rollback`, on the number.
    ///
    /// # Errors
    /// As for [`reload_policies`](Self::reload_policies).
    pub async fn roll_back_policies(
        &self,
        context: &RequestContext,
        caller: &Caller,
        number: Option<u64>,
    ) -> Result<(Restored, Summary), AccessError> {
        let resource = number.map(|number| number.to_string()).unwrap_or_default();
        let (_, event) =
            self.may_administer(context, caller, "policy-set.rollback", &resource).await?;
        let done = self.policy.blocking(move |host| host.roll_back(number)).await;
        self.conclude(event, done, |event, (restored, summary)| {
            in_force(event, summary).detail("restored", restored.number)
        })
        .await
    }

    async fn conclude<T>(
        &self,
        event: Event,
        done: Result<T, LoadError>,
        describe: impl FnOnce(Event, &T) -> Event,
    ) -> Result<T, AccessError> {
        let event = match &done {
            Ok(done) => describe(event, done).succeeded(),
            Err(error) => event.detail("reason", error.to_string()).failed("not-taken"),
        };
        self.audit.record(event).await?;
        done.map_err(AccessError::Policies)
    }
}

/// Adds to an event which set is in force from now on, and which tenants want signed policies and have none.
pub fn in_force(event: Event, summary: &Summary) -> Event {
    let event = event.detail("set", summary.digest.to_string()).detail("number", summary.number);
    match summary.unasked.iter().map(ToString::to_string).collect::<Vec<_>>() {
        none if none.is_empty() => event,
        unasked => event.detail("without_policies", unasked),
    }
}
