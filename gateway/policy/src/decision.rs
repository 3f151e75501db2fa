//! From what the policies said to one verdict.

use crate::binding::Mode;
use crate::set::Asked;
use crate::workers::NotRun;
use crate::{AccessGrant, CertificateTemplate, Denial, Verdict};

const REFUSED: &str = "the policies do not allow this";
const CANNOT_DECIDE: &str = "the policies cannot decide about this now";

/// One denial denies, and so does a policy that failed; what several allow is merged.
pub(crate) fn conclude<T>(
    asked: Vec<Asked<T>>,
    merge: impl FnOnce(Vec<T>) -> Result<T, Denial>,
) -> Verdict<T> {
    let mut allowed = Vec::new();
    let mut denial: Option<Denial> = None;
    let mut evaluations = Vec::with_capacity(asked.len());
    for Asked { mode, answer, evaluation } in asked {
        let denied = match (mode, answer) {
            (Mode::Monitor, _) => None,
            (Mode::Enforce, Ok(Ok(grant))) => {
                allowed.push(grant);
                None
            }
            (Mode::Enforce, Ok(Err(denied))) => Some(denied),
            (Mode::Enforce, Err(failure)) => {
                let audit = format!("binding {}: {failure}", evaluation.binding);
                Some(Denial::new(Denial::POLICY_FAILED, CANNOT_DECIDE, audit))
            }
        };
        // A policy's reason helps the caller more than the failure of another.
        denial = match (denial, denied) {
            (Some(first), Some(second))
                if first.code == Denial::POLICY_FAILED && second.code != first.code =>
            {
                Some(second)
            }
            (first, second) => first.or(second),
        };
        evaluations.push(evaluation);
    }
    let decision = match denial {
        Some(denial) => Err(denial),
        None if allowed.is_empty() => Err(no_policy()),
        None => merge(allowed),
    };
    Verdict { decision, evaluations }
}

/// Every ceiling holds.
pub(crate) fn strictest(grants: &[AccessGrant]) -> AccessGrant {
    grants.iter().fold(AccessGrant::default(), AccessGrant::strictest)
}

/// Several policies may shape one certificate only if they shape it alike.
pub(crate) fn unanimous(
    templates: Vec<CertificateTemplate>,
) -> Result<CertificateTemplate, Denial> {
    let mut templates = templates.into_iter();
    let first = templates.next().ok_or_else(no_policy)?;
    if templates.all(|other| other == first) {
        return Ok(first);
    }
    let audit = "several enforcing bindings match and propose different certificates";
    Err(Denial::new(Denial::AMBIGUOUS, CANNOT_DECIDE, audit))
}

pub(crate) fn no_policy() -> Denial {
    Denial::new(Denial::NO_POLICY, REFUSED, "no enforcing binding matches the request")
}

pub(crate) fn not_run<T>(why: NotRun) -> Verdict<T> {
    let code = match why {
        NotRun::Full | NotRun::Late => Denial::OVERLOADED,
        NotRun::Lost => Denial::POLICY_FAILED,
    };
    let denial = Denial::new(code, CANNOT_DECIDE, why.to_string());
    Verdict { decision: Err(denial), evaluations: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Evaluation;
    use crate::evaluation::{Answer, Failure};

    fn asked(binding: &str, mode: Mode, answer: Answer<AccessGrant>) -> Asked<AccessGrant> {
        let evaluation = Evaluation {
            binding: binding.to_owned(),
            plugin: String::new(),
            digest: String::new(),
            micros: 0,
            outcome: String::new(),
            detail: String::new(),
        };
        Asked { mode, answer, evaluation }
    }

    fn grant(seconds: u64) -> AccessGrant {
        AccessGrant { max_ttl: Some(Duration::from_secs(seconds)) }
    }

    fn denial(code: &str) -> Denial {
        Denial::new(code, "", "")
    }

    fn code(asked: Vec<Asked<AccessGrant>>) -> Result<AccessGrant, String> {
        conclude(asked, |grants| Ok(strictest(&grants))).decision.map_err(|denial| denial.code)
    }

    #[test]
    fn one_denial_or_failure_denies_in_any_order() {
        use Mode::Enforce;
        let reason = || asked("a", Enforce, Ok(Err(denial("mine"))));
        let failure = || asked("b", Enforce, Err(Failure::Deadline));
        let fine = || asked("c", Enforce, Ok(Ok(grant(1))));
        assert_eq!(code(vec![fine(), reason()]), Err("mine".to_owned()));
        assert_eq!(code(vec![reason(), fine()]), Err("mine".to_owned()));
        assert_eq!(code(vec![fine(), failure()]), Err(Denial::POLICY_FAILED.to_owned()));
        assert_eq!(code(vec![failure(), reason()]), Err("mine".to_owned()));
        assert_eq!(code(vec![reason(), failure()]), Err("mine".to_owned()));
    }

    #[test]
    fn nothing_enforced_is_a_denial_whatever_monitors_say() {
        assert_eq!(code(vec![]), Err(Denial::NO_POLICY.to_owned()));
        let watcher = asked("a", Mode::Monitor, Ok(Ok(grant(1))));
        assert_eq!(code(vec![watcher]), Err(Denial::NO_POLICY.to_owned()));
    }

    #[test]
    fn a_monitor_neither_denies_nor_lowers_a_ceiling() {
        let all = vec![
            asked("a", Mode::Monitor, Ok(Err(denial("x")))),
            asked("b", Mode::Enforce, Ok(Ok(grant(9)))),
            asked("c", Mode::Enforce, Ok(Ok(grant(5)))),
            asked("d", Mode::Monitor, Ok(Ok(grant(1)))),
            asked("e", Mode::Monitor, Err(Failure::Memory)),
        ];
        let verdict = conclude(all, |grants| Ok(strictest(&grants)));
        assert_eq!(verdict.decision.unwrap().max_ttl, Some(Duration::from_secs(5)));
        assert_eq!(verdict.evaluations.len(), 5);
    }

    #[test]
    fn different_templates_are_ambiguous_and_equal_ones_are_not() {
        let template = |seconds| CertificateTemplate {
            common_name: None,
            names: vec![],
            key_usages: vec![],
            extended_key_usages: vec![],
            validity: Duration::from_secs(seconds),
            profile: "p".to_owned(),
            issuer: None,
        };
        assert_eq!(unanimous(vec![template(1), template(1)]), Ok(template(1)));
        let denial = unanimous(vec![template(1), template(2)]).unwrap_err();
        assert_eq!(denial.code, Denial::AMBIGUOUS);
    }
}
