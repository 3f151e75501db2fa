//! What administrators do with the set of policies: see what is in force, have it loaded anew, go back.
//! The set is that of all tenants, so it takes an administrator of the installation. Each operation asks the
//! policies that are in force and leaves a line in the audit log.

use chancery_gate::Authorized;
use chancery_identity::RequestContext;
use chancery_policy::{InForce, LoadError, PolicyHost, Restored, Summary, TakenSet};
use serde_json::Value;

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
        let (_, authorized) = self.may_administer(context, caller, "policy-set.read", "").await?;
        let read = |host: &PolicyHost| {
            let (summary, bindings) = (host.summary(), host.in_force());
            Ok(PolicySetView { summary, bindings, history: host.history()? })
        };
        let done = self.policy.reading(read).await;
        conclude(authorized, done, |_| Vec::new()).await
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
        let (_, authorized) = self.may_administer(context, caller, "policy-set.reload", "").await?;
        let done = self.policy.blocking(PolicyHost::reload).await;
        conclude(authorized, done, in_force).await
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
        let (_, authorized) =
            self.may_administer(context, caller, "policy-set.rollback", &resource).await?;
        let done = self.policy.blocking(move |host| host.roll_back(number)).await;
        conclude(authorized, done, |(restored, summary)| {
            let mut details = in_force(summary);
            details.push(("restored", restored.number.into()));
            details
        })
        .await
    }
}

/// Records whether the set was taken.
async fn conclude<T>(
    authorized: Authorized<'_>,
    done: Result<T, LoadError>,
    describe: impl FnOnce(&T) -> Vec<(&'static str, Value)>,
) -> Result<T, AccessError> {
    match &done {
        Ok(done) => {
            let mut authorized = authorized;
            for (name, value) in describe(done) {
                authorized = authorized.detail(name, value);
            }
            authorized.succeeded().await?;
        }
        Err(error) => authorized.detail("reason", error.to_string()).failed("not-taken").await?,
    }
    done.map_err(AccessError::Policies)
}

/// What the audit log says of the set that is in force from now on: which it is, and which tenants want signed
/// policies and have none.
pub fn in_force(summary: &Summary) -> Vec<(&'static str, Value)> {
    let mut details =
        vec![("set", summary.digest.to_string().into()), ("number", summary.number.into())];
    let unasked: Vec<String> = summary.unasked.iter().map(ToString::to_string).collect();
    if !unasked.is_empty() {
        details.push(("without_policies", unasked.into()));
    }
    details
}
