//! From what the policies said to one verdict.

use std::cmp::Ordering;

use crate::binding::Mode;
use crate::certificate::Disagreement;
use crate::set::Asked;
use crate::workers::NotRun;
use crate::{AccessGrant, CertificateTemplate, Denial, Operations, Verdict};

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

impl Denial {
    /// The denial that counts. A policy's reason helps the caller more than the failure of another; who
    /// is denied need not ask for approvals; and of two approvals both are needed.
    pub(crate) fn worse(mut self, second: Self) -> Self {
        let rank = |denial: &Self| match denial.code.as_str() {
            Self::NEEDS_APPROVAL => 0,
            Self::POLICY_FAILED => 1,
            _ => 2,
        };
        match rank(&self).cmp(&rank(&second)) {
            Ordering::Less => second,
            Ordering::Equal => {
                self.approvals.extend(second.approvals);
                self
            }
            Ordering::Greater => self,
        }
    }
}

/// Every ceiling holds.
pub(crate) fn strictest(grants: Vec<AccessGrant>) -> AccessGrant {
    grants.into_iter().reduce(AccessGrant::strictest).unwrap_or_default()
}

/// What policy wants done with what is handed out, nothing does yet.
pub(crate) fn without_obligations(grant: AccessGrant) -> Result<AccessGrant, Denial> {
    let Some((obligation, _)) = grant.obligations.first() else { return Ok(grant) };
    let message = "the policies ask for what this operation cannot do";
    let audit = format!("nothing fulfils the obligation `{obligation}`");
    Err(Denial::new(Denial::OBLIGATION, message, audit))
}

/// Several policies may shape one certificate: what all of them have is what it gets. None if nobody
/// shapes it.
pub(crate) fn narrowest(
    templates: Vec<Option<CertificateTemplate>>,
) -> Result<Option<CertificateTemplate>, Denial> {
    let mut templates = templates.into_iter().flatten();
    let Some(first) = templates.next() else { return Ok(None) };
    templates.try_fold(first, |narrowest, other| narrowest.strictest(&other)).map(Some).map_err(
        |disagreement| match disagreement {
            Disagreement::Different(what) => {
                let message = format!("the policies want certificates with a different {what}");
                let audit =
                    format!("several policies propose certificates with a different {what}");
                Denial::new(Denial::AMBIGUOUS, &message, audit)
            }
            Disagreement::NothingInCommon(what) => {
                let message = format!("there is no {what} that all of the policies allow");
                let audit =
                    format!("several policies propose certificates without a common {what}");
                Denial::new(Denial::NOTHING_IN_COMMON, &message, audit)
            }
        },
    )
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
    use crate::Evaluation;
    use crate::evaluation::{Answer, Failure};

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

    fn template(seconds: u64, usages: &[&str]) -> CertificateTemplate {
        CertificateTemplate {
            subject: vec![],
            names: vec![],
            key_usages: usages.iter().map(|&usage| usage.to_owned()).collect(),
            extended_key_usages: vec![],
            validity: Duration::from_secs(seconds),
            extensions: vec![],
            profile: "p".to_owned(),
            issuer: None,
        }
    }

    #[test]
    fn templates_merge_to_what_all_of_them_have() {
        let (one, two) = (template(2, &["a", "b"]), template(1, &["b", "c"]));
        let merged = template(1, &["b"]);
        let both = narrowest(vec![Some(one.clone()), None, Some(two.clone())]);
        assert_eq!(both, Ok(Some(merged.clone())));
        assert_eq!(narrowest(vec![Some(two), Some(one)]), Ok(Some(merged)));
    }

    #[test]
    fn where_nothing_is_left_the_policies_deny() {
        let name = |value: &str| crate::Name { kind: "dns".to_owned(), value: value.to_owned() };
        let whole = |usage: &str, purpose: &str, names: &[&str]| CertificateTemplate {
            names: names.iter().copied().map(name).collect(),
            extended_key_usages: vec![purpose.to_owned()],
            ..template(1, &[usage])
        };
        let one = whole("sign", "server", &["a", "b"]);
        for (other, what) in [
            (whole("encipher", "server", &["a"]), "key usage"),
            (whole("sign", "client", &["a"]), "purpose"),
            (whole("sign", "server", &["c"]), "name"),
            (whole("sign", "server", &[]), "name"),
        ] {
            for pair in [[one.clone(), other.clone()], [other, one.clone()]] {
                let denial = narrowest(pair.into_iter().map(Some).collect()).unwrap_err();
                assert_eq!(denial.code, Denial::NOTHING_IN_COMMON);
                assert!(denial.message.contains(what), "{what}: {}", denial.message);
            }
        }
        assert!(narrowest(vec![Some(one.clone()), Some(whole("sign", "server", &["b"]))]).is_ok());
    }

    #[test]
    fn what_cannot_be_narrowed_has_to_be_the_same() {
        let one = template(1, &[]);
        let other = CertificateTemplate { profile: "q".to_owned(), ..one.clone() };
        let denial = narrowest(vec![Some(one.clone()), Some(other)]).unwrap_err();
        assert_eq!(denial.code, Denial::AMBIGUOUS);
        let issuer =
            |name: &str| CertificateTemplate { issuer: Some(name.to_owned()), ..one.clone() };
        assert!(narrowest(vec![Some(issuer("a")), Some(issuer("b"))]).is_err());
        let chosen = narrowest(vec![Some(one.clone()), Some(issuer("b"))]).unwrap().unwrap();
        assert_eq!(chosen.issuer.as_deref(), Some("b"));
    }

    #[test]
    fn no_objection_alone_issues_nothing() {
        let merged = narrowest(vec![None, None]).and_then(shaped);
        assert_eq!(merged.unwrap_err().code, Denial::NO_POLICY);
    }
}
