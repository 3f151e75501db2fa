//! Several resources at once: a question for each.

use chancery_policy::{AccessRequest, Denial};

use crate::guests::{Guest, LOOP};
use crate::installation::{Installation, request, shipped};

/// Allows what begins with `a`, denies `abc` to everybody, and lets permissions under `again` be reused.
const RULES: &str = r#"
rules = [
  { name = "a", identities = ["*"], operations = ["order"], resources = ["a*"], effect = "allow" },
  { name = "not abc", identities = ["*"], operations = ["order"], resources = ["abc"], effect = "deny" },
  { name = "again", identities = ["*"], operations = ["order"], resources = ["again*"], effect = "allow", reuse = "60s" },
  { name = "each", identities = ["*"], operations = ["again"], resources = ["again*"], effect = "allow", reuse = "60s" },
]
"#;

fn asked() -> AccessRequest {
    request("order", "")
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("a{number}")).collect()
}

fn installed() -> Installation {
    let installation = Installation::new();
    let rules = format!("[binding.settings]\n{RULES}");
    installation.bind_access("rules", &shipped("access-rules"), &rules);
    installation
}

#[tokio::test]
async fn each_resource_is_a_question_and_one_denial_denies() {
    let host = installed().open().unwrap();
    let mut names = names(100);
    assert!(host.decide_access_to_each(asked(), &names).await.decision.is_ok());
    names[7] = "b".to_owned();
    names[77] = "abc".to_owned();
    let verdict = host.decide_access_to_each(asked(), &names).await;
    assert!(verdict.decision.is_err());
    let denied: Vec<_> =
        verdict.denied.iter().map(|(at, denial)| (*at, denial.code.as_str())).collect();
    assert_eq!(denied, [(7, "no-rule"), (77, "denied-by-rule")]);
    let said: Vec<_> = verdict.evaluations.iter().map(|one| one.detail.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], "98 of 100");
}

#[tokio::test]
async fn what_no_binding_is_asked_about_is_denied_beside_what_is_allowed() {
    let installation = Installation::new();
    let rules = format!("match = {{ resources = [\"a*\"] }}\n[binding.settings]\n{RULES}");
    installation.bind_access("rules", &shipped("access-rules"), &rules);
    let host = installation.open().unwrap();
    let names = ["a1".to_owned(), "b".to_owned()];
    let verdict = host.decide_access_to_each(asked(), &names).await;
    assert_eq!(verdict.decision.unwrap_err().code, Denial::NO_POLICY);
    assert_eq!(verdict.denied[0].0, 1);
    let nothing = host.decide_access_to_each(asked(), &[]).await;
    assert_eq!(nothing.decision.unwrap_err().code, Denial::NO_POLICY);
}

#[tokio::test]
async fn a_policy_that_fails_is_not_asked_about_the_rest() {
    let installation = Installation::new();
    let guest = Guest { evaluate: LOOP, ..Guest::default() };
    installation.bind_access("loops", &guest.component(), "limits = { deadline_ms = 5 }");
    let host = installation.open().unwrap();
    let verdict = host.decide_access_to_each(asked(), &names(100)).await;
    assert_eq!(verdict.decision.unwrap_err().code, Denial::POLICY_FAILED);
    let outcomes: Vec<_> = verdict.evaluations.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["error:deadline"]);
    assert_eq!(verdict.denied.len(), 1);
}

#[tokio::test]
async fn permissions_are_reused_resource_by_resource() {
    let host = installed().open().unwrap();
    let again = request("again", "");
    let ask = async |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let verdict = host.decide_access_to_each(again.clone(), &names).await;
        assert!(verdict.decision.is_ok());
        let outcomes = verdict.evaluations.into_iter().map(|one| one.outcome);
        outcomes.collect::<Vec<_>>()
    };
    assert_eq!(ask(&["again1"]).await, ["allow"]);
    assert_eq!(ask(&["again1", "again2"]).await, ["reused:allow", "allow"]);
    assert_eq!(ask(&["again1", "again2"]).await, ["reused:allow"]);
    let alone = host.decide_access(&request("again", "again2")).await;
    assert_eq!(alone.evaluations[0].outcome, "reused:allow", "the same question as one alone");
}
