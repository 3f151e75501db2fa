//! Permissions that are used again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use quick_cache::sync::Cache;

use crate::decide::{Evaluation, Verdict};
use crate::question::{AccessGrant, AccessRequest};
use crate::set::PolicySet;

/// Permissions that are kept.
const KEPT: usize = 10_000;
/// The longest time for which one is, whatever the policies say.
const LONGEST: Duration = Duration::from_hours(1);
/// What stands before the outcome of an evaluation that was not made anew.
const REUSED: &str = "reused:";

/// Permissions that all policies which gave them allow to be used again for the same question, as the
/// contract has it (`reuse-seconds`). A new set of policies ends them all.
pub(crate) struct Reuse(Cache<AccessRequest, Arc<Kept>>);

struct Kept {
    /// Which policies gave it. Holding it keeps its place from being another set's.
    set: Weak<PolicySet>,
    until: Timestamp,
    verdict: Verdict<AccessGrant>,
}

impl Reuse {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT))
    }

    /// The permission that these policies gave to the same question, if it may still be used.
    pub(crate) fn find(
        &self,
        set: &Arc<PolicySet>,
        request: &AccessRequest,
        now: Timestamp,
    ) -> Option<Verdict<AccessGrant>> {
        self.find_for(set, request, &request.resource, now)
    }

    /// The same for a resource that stands in the place of the request's own.
    pub(crate) fn find_for(
        &self,
        set: &Arc<PolicySet>,
        request: &AccessRequest,
        resource: &str,
        now: Timestamp,
    ) -> Option<Verdict<AccessGrant>> {
        // Where no policy allows it, nobody pays for it.
        if self.0.is_empty() {
            return None;
        }
        let kept = self.0.get(&question(request, resource))?;
        let stands = now < kept.until && kept.set.as_ptr() == Arc::as_ptr(set);
        stands.then(|| kept.verdict.clone())
    }

    /// Keeps a permission if every policy that was asked allows that, and none only watches: that one wants
    /// to see every request.
    pub(crate) fn keep(
        &self,
        set: &Arc<PolicySet>,
        request: &AccessRequest,
        now: Timestamp,
        verdict: &Verdict<AccessGrant>,
    ) {
        self.keep_for(set, request, &request.resource, now, verdict);
    }

    /// The same for a resource that stands in the place of the request's own.
    pub(crate) fn keep_for(
        &self,
        set: &Arc<PolicySet>,
        request: &AccessRequest,
        resource: &str,
        now: Timestamp,
        verdict: &Verdict<AccessGrant>,
    ) {
        let reuse = verdict.decision.as_ref().ok().and_then(|grant| grant.reuse);
        let Some(reuse) = reuse.filter(|reuse| !reuse.is_zero()) else { return };
        if verdict.evaluations.iter().any(|one| one.outcome.starts_with("monitor:")) {
            return;
        }
        let evaluation = |one: &Evaluation| Evaluation {
            outcome: format!("{REUSED}{}", one.outcome),
            micros: 0,
            ..one.clone()
        };
        let evaluations = verdict.evaluations.iter().map(evaluation).collect();
        let verdict = Verdict { decision: verdict.decision.clone(), evaluations };
        let until = now.checked_add(reuse.min(LONGEST)).unwrap_or(now);
        let kept = Arc::new(Kept { set: Arc::downgrade(set), until, verdict });
        self.0.insert(question(request, resource), kept);
    }
}

/// What makes two questions the same: all but when, and under which number, they are asked.
fn question(request: &AccessRequest, resource: &str) -> AccessRequest {
    let attributes = request.attributes.iter();
    AccessRequest {
        tenant: request.tenant.clone(),
        identity: request.identity.clone(),
        operation: request.operation.clone(),
        resource: resource.to_owned(),
        attributes: attributes
            .filter(|(name, _)| name != "time" && name != "request.id")
            .cloned()
            .collect(),
    }
}
