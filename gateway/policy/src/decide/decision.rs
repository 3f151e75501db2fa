//! From what the policies said to one verdict.

use super::evaluation::Answer;
use super::verdict::{Evaluation, Verdict};
use super::workers::NotRun;
use crate::binding::Mode;
use crate::question::{AccessGrant, CertificateTemplate, Denial, Operations};

const REFUSED: &str = "the policies do not allow this";
const CANNOT_DECIDE: &str = "the policies cannot decide about this now";

/// One policy's answer, on its way to the verdict.
pub(crate) struct Asked<T> {
    pub(crate) mode: Mode,
    pub(crate) answer: Answer<T>,
    pub(crate) evaluation: Evaluation,
}

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
            (Mode::Monitor | Mode::Member, _) => None,
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
        denial = match (denial, denied) {
            (Some(first), Some(second)) => Some(first.worse(second)),
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

/// What policy wants done with what is handed out, nothing does yet.
pub(crate) fn without_obligations(grant: AccessGrant) -> Result<AccessGrant, Denial> {
    let Some((obligation, _)) = grant.obligations.first() else { return Ok(grant) };
    let message = "the policies ask for what this operation cannot do";
    let audit = format!("nothing fulfils the obligation `{obligation}`");
    Err(Denial::new(Denial::OBLIGATION, message, audit))
}

/// Somebody has to shape the certificate.
pub(crate) fn shaped(template: Option<CertificateTemplate>) -> Result<CertificateTemplate, Denial> {
    template.ok_or_else(|| {
        let audit = "no policy that was asked shapes the certificate";
        Denial::new(Denial::NO_POLICY, REFUSED, audit)
    })
}

pub(crate) fn no_policy() -> Denial {
    Denial::new(Denial::NO_POLICY, REFUSED, "no enforcing binding matches the request")
}

pub(crate) fn no_such_operation(operation: &str) -> Denial {
    let audit = Operations::OfTheGateway
        .check(operation)
        .err()
        .unwrap_or_else(|| format!("`{operation}` is a pattern, and no operation"));
    Denial::new(Denial::UNKNOWN_OPERATION, REFUSED, audit)
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
    use crate::component::Failure;
    use crate::decide::merge::{narrowest, strictest};

    fn asked(binding: &str, mode: Mode, answer: Answer<AccessGrant>) -> Asked<AccessGrant> {
        let evaluation = Evaluation {
            binding: binding.to_owned(),
            plugin: String::new(),
            digest: String::new(),
            version: String::new(),
            micros: 0,
            outcome: String::new(),
            detail: String::new(),
        };
        Asked { mode, answer, evaluation }
    }

    fn grant(seconds: u64) -> AccessGrant {
        AccessGrant { max_ttl: Some(Duration::from_secs(seconds)), ..AccessGrant::default() }
    }

    fn denial(code: &str) -> Denial {
        Denial::new(code, "", "")
    }

    fn code(asked: Vec<Asked<AccessGrant>>) -> Result<AccessGrant, String> {
        conclude(asked, |grants| Ok(strictest(grants))).decision.map_err(|denial| denial.code)
    }

    #[test]
    fn one_denial_or_failure_denies_in_any_order() {
        use Mode::Enforce;
        let reason = || asked("a", Enforce, Ok(Err(denial("mine"))));
        let failure = || asked("b", Enforce, Err(Failure::Deadline(Duration::ZERO)));
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
            asked("e", Mode::Monitor, Err(Failure::Memory { kib: 1024 })),
        ];
        let verdict = conclude(all, |grants| Ok(strictest(grants)));
        assert_eq!(verdict.decision.unwrap().max_ttl, Some(Duration::from_secs(5)));
        assert_eq!(verdict.evaluations.len(), 5);
    }

    #[test]
    fn approvals_add_up_and_a_denial_makes_them_pointless() {
        use Mode::Enforce;
        let approval = |group: &str| {
            let mut denial = denial(Denial::NEEDS_APPROVAL);
            denial.approvals.push(crate::Approval {
                group: group.to_owned(),
                count: 1,
                valid_for: Duration::from_mins(1),
            });
            asked(group, Enforce, Ok(Err(denial)))
        };
        let both = conclude(vec![approval("a"), approval("b")], |grants| Ok(strictest(grants)));
        assert_eq!(both.decision.unwrap_err().approvals.len(), 2);
        let reason = || asked("c", Enforce, Ok(Err(denial("mine"))));
        assert_eq!(code(vec![approval("a"), reason()]), Err("mine".to_owned()));
        assert_eq!(code(vec![reason(), approval("a")]), Err("mine".to_owned()));
    }

    #[test]
    fn an_obligation_that_nothing_fulfils_is_a_denial() {
        assert!(without_obligations(grant(1)).is_ok());
        let mut obliged = grant(1);
        obliged.obligations.insert(("wrap".to_owned(), "60".to_owned()));
        let denial = without_obligations(obliged).unwrap_err();
        assert_eq!(denial.code, Denial::OBLIGATION);
        assert!(denial.audit.contains("wrap") && !denial.message.contains("wrap"));
    }

    #[test]
    fn no_objection_alone_issues_nothing() {
        let merged = narrowest(vec![None, None]).and_then(shaped);
        assert_eq!(merged.unwrap_err().code, Denial::NO_POLICY);
    }
}
