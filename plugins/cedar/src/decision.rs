//! From Cedar's answer to a decision.

use std::collections::BTreeSet;

use cedar_policy::{AuthorizationError, Decision, Effect, PolicyId, PolicySet, Response};
use chancery_guest::access::{Attribute, Denial, Grant, Refusal, Request};

use crate::annotations::Annotations;

/// The decision that the answer is.
pub(crate) fn of(
    answer: &Response,
    policies: &PolicySet,
    request: &Request,
) -> Result<Grant, Refusal> {
    for error in answer.diagnostics().errors() {
        let AuthorizationError::PolicyEvaluationError(failure) = error;
        let policy = policies.policy(failure.policy_id());
        if policy.is_none_or(|policy| policy.effect() == Effect::Forbid) {
            return Err(failed(error.to_string()));
        }
    }
    let reasons: BTreeSet<&PolicyId> = answer.diagnostics().reason().collect();
    let said = reasons
        .iter()
        .map(|id| policies.policy(id).map(Annotations::of).transpose())
        .collect::<Result<Vec<_>, String>>()
        .map_err(failed)?;
    let said: Vec<Annotations> = said.into_iter().flatten().collect();
    let names = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match answer.decision() {
        Decision::Allow => allowed(&said, &names, request),
        Decision::Deny if reasons.is_empty() => {
            Err(Denial::new("not-allowed", "no policy permits this", "").into())
        }
        Decision::Deny => {
            let code = said.iter().find_map(|said| said.code.as_deref());
            let message = said.iter().find_map(|said| said.message.as_deref());
            let message = message.unwrap_or("a policy forbids this");
            Err(Denial::new(code.unwrap_or("forbidden"), message, names).into())
        }
    }
}

/// What all of the policies that permit it say: the shortest times, every obligation.
fn allowed(said: &[Annotations], names: &str, request: &Request) -> Result<Grant, Refusal> {
    for approval in said.iter().filter_map(|said| said.approval.as_ref()) {
        // Each approver counts once.
        let approvers: BTreeSet<&str> = request
            .attributes_named("approval")
            .filter_map(|given| given.strip_prefix(approval.group.as_str())?.strip_prefix(':'))
            .collect();
        if approvers.len() < approval.count as usize {
            let mut missing = approval.clone();
            names.clone_into(&mut missing.audit);
            return Err(missing.into());
        }
    }
    let obligations: BTreeSet<_> = said.iter().flat_map(|said| &said.obligations).collect();
    // Some policy may decide otherwise the next time.
    let reusable = said.iter().all(|said| said.reuse_seconds.is_some());
    Ok(Grant {
        max_ttl_seconds: said.iter().filter_map(|said| said.max_ttl_seconds).min(),
        reuse_seconds: said.iter().filter_map(|said| said.reuse_seconds).min().filter(|_| reusable),
        obligations: obligations
            .into_iter()
            .map(|(name, value)| Attribute { name: name.clone(), value: value.clone() })
            .collect(),
    })
}

/// The denial if Cedar cannot tell.
pub(crate) fn failed(audit: impl Into<String>) -> Refusal {
    Denial::new("cannot-tell", "the policies cannot decide about this", audit).into()
}
