//! Groups over real components.

use chancery_policy::{Denial, PolicyHost};

use crate::guests::{DENY, Guest, LOOP};
use crate::installation::{Installation, request};

fn bind(installation: &Installation, name: &str, evaluate: Option<&str>) {
    let guest =
        evaluate.map_or_else(Guest::default, |evaluate| Guest { evaluate, ..Guest::default() });
    installation.bind_access(name, &guest.component(), "limits = { deadline_ms = 50 }");
}

fn group(installation: &Installation, rule: &str) {
    let text = format!(
        "[[group]]\nname = \"g\"\ndecision = \"access\"\nmatch = {{ operations = [\"o\"] }}\n{rule}\n"
    );
    installation.document("group.toml", &text);
}

async fn ask(host: &PolicyHost) -> (Result<(), String>, Vec<String>) {
    let verdict = host.decide_access(&request("o", "r")).await;
    let trail = verdict.evaluations.iter().map(|e| format!("{} {}", e.binding, e.outcome));
    (verdict.decision.map(drop).map_err(|denial| denial.code), trail.collect())
}

#[tokio::test]
async fn one_member_of_any_is_enough_and_the_trail_shows_them_all() {
    let installation = Installation::new();
    bind(&installation, "a", None);
    bind(&installation, "b", Some(DENY));
    group(&installation, "any = [\"b\", \"a\"]");
    let host = installation.open().unwrap();
    let trail = ["a member:allow", "b member:deny", "g allow"].map(str::to_owned).to_vec();
    assert_eq!(ask(&host).await, (Ok(()), trail));
    // A group matches for its members, too.
    let elsewhere = host.decide_access(&request("other", "r")).await;
    assert_eq!(elsewhere.decision.unwrap_err().code, Denial::NO_POLICY);

    group(&installation, "all = [\"b\", \"a\"]");
    host.reload().unwrap();
    assert_eq!(ask(&host).await.0, Err("mine".to_owned()));
    group(&installation, "not = \"b\"");
    host.reload().unwrap();
    // `a` is nobody's member now and matches by itself.
    let trail = ["a allow", "b member:deny", "g allow"].map(str::to_owned).to_vec();
    assert_eq!(ask(&host).await, (Ok(()), trail));
}

#[tokio::test]
async fn a_member_that_fails_fails_the_group_whatever_its_rule() {
    for rule in ["any = [\"a\", \"loops\"]", "not = \"loops\""] {
        let installation = Installation::new();
        bind(&installation, "a", None);
        bind(&installation, "loops", Some(LOOP));
        group(&installation, rule);
        let host = installation.open().unwrap();
        let (decision, trail) = ask(&host).await;
        assert_eq!(decision, Err(Denial::POLICY_FAILED.to_owned()), "{rule}");
        assert_eq!(trail.last().unwrap(), "g error:member", "{rule}");
    }
}

#[tokio::test]
async fn a_group_that_only_watches_decides_nothing() {
    let installation = Installation::new();
    bind(&installation, "a", Some(DENY));
    bind(&installation, "b", None);
    group(&installation, "mode = \"monitor\"\nall = [\"a\"]");
    let host = installation.open().unwrap();
    let trail = ["b allow", "a member:deny", "g monitor:deny"].map(str::to_owned).to_vec();
    assert_eq!(ask(&host).await, (Ok(()), trail));
}

#[test]
fn a_name_is_given_once_and_members_exist() {
    let installation = Installation::new();
    bind(&installation, "g", None);
    group(&installation, "all = [\"g\"]");
    let message = installation.refusal();
    assert!(message.contains("binding `g` is there already"), "{message}");
    let installation = Installation::new();
    group(&installation, "all = [\"nobody\"]");
    let message = installation.refusal();
    assert!(message.contains("group.toml:2: there is no binding or group `nobody`"), "{message}");
}
