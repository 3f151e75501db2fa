//! Permissions that policies allow to be used again.

use std::time::Duration;

use chancery_identity::Clock;
use chancery_policy::{AccessRequest, PolicyHost};

use crate::installation::{Installation, request, shipped};

/// Permits reading for a minute, writing each time anew.
const RULES: &str = r#"
rules = [
  { name = "reading", identities = ["*"], operations = ["read"], resources = ["*"], effect = "allow", reuse = "60s" },
  { name = "writing", identities = ["*"], operations = ["write"], resources = ["*"], effect = "allow" },
]
"#;

fn installed(installation: &Installation, more: &str) -> (PolicyHost, Clock) {
    let rules = format!("{more}\n[binding.settings]\n{RULES}");
    installation.bind_access("rules", &shipped("access-rules"), &rules);
    let mut config = installation.config();
    config.clock = Clock::manual("2030-01-01T00:00:00Z".parse().unwrap());
    let clock = config.clock.clone();
    (PolicyHost::open(config).unwrap(), clock)
}

/// What became of the first policy that was asked.
async fn outcome(host: &PolicyHost, request: &AccessRequest) -> String {
    host.decide_access(request).await.evaluations[0].outcome.clone()
}

#[tokio::test]
async fn a_permission_is_used_again_for_the_same_question_until_its_time_is_over() {
    let installation = Installation::new();
    let (host, clock) = installed(&installation, "");
    let mut asked = request("read", "a");
    let at = |time: &str| vec![("time".to_owned(), time.to_owned())];
    asked.attributes = at("2030-01-01T00:00:00Z");
    asked.attributes.push(("request.id".to_owned(), "1".to_owned()));
    let first = host.decide_access(&asked).await;
    assert_eq!(first.evaluations[0].outcome, "allow");
    asked.attributes = at("2030-01-01T00:00:01Z");
    let again = host.decide_access(&asked).await;
    assert_eq!(again.decision, first.decision);
    let (before, now) = (&first.evaluations[0], &again.evaluations[0]);
    assert_eq!((now.outcome.as_str(), now.micros), ("reused:allow", 0));
    assert_eq!((&now.digest, &now.binding), (&before.digest, &before.binding));

    // Anything else is another question.
    let mut others = vec![request("read", "b"), request("write", "a"), request("read", "a")];
    others[2].identity = "spiffe://dev.chancery/web".to_owned();
    others.push(AccessRequest { attributes: at("now"), ..others[0].clone() });
    others[3].attributes.push(("address".to_owned(), "192.0.2.1".to_owned()));
    for other in &others {
        assert_eq!(outcome(&host, other).await, "allow", "{other:?}");
    }
    assert_eq!(outcome(&host, &others[1]).await, "allow", "what may not be reused is not");

    clock.advance(Duration::from_secs(59));
    assert_eq!(outcome(&host, &asked).await, "reused:allow");
    clock.advance(Duration::from_secs(1));
    assert_eq!(outcome(&host, &asked).await, "allow");
}

#[tokio::test]
async fn a_new_set_of_policies_ends_what_the_old_one_permitted() {
    let installation = Installation::new();
    let (host, _) = installed(&installation, "");
    let asked = request("read", "a");
    assert_eq!(outcome(&host, &asked).await, "allow");
    assert_eq!(outcome(&host, &asked).await, "reused:allow");
    let none = "[binding.settings]\nrules = []";
    installation.bind_access("rules", &shipped("access-rules"), none);
    host.reload().unwrap();
    let denied = host.decide_access(&asked).await;
    assert_eq!(denied.decision.unwrap_err().code, "no-rule");
    // And a denial is never kept.
    assert_eq!(outcome(&host, &asked).await, "deny");
}

#[tokio::test]
async fn a_policy_that_only_watches_sees_every_request() {
    let installation = Installation::new();
    installation.bind_access(
        "a-watch",
        &shipped("access-rules"),
        &format!("mode = \"monitor\"\n[binding.settings]\n{RULES}"),
    );
    let (host, _) = installed(&installation, "");
    let asked = request("read", "a");
    for _ in 0..2 {
        assert_eq!(outcome(&host, &asked).await, "monitor:allow");
    }
}
