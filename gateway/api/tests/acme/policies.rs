//! What access policies are asked about an order, and what comes of their answers.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::client::url;
use crate::steps;
use crate::world::World;

/// A team may order names below its own, but not its vault; nobody may order the guarded names.
const TEAM: &str = r#"
[[binding.settings.rules]]
name = "everybody has an account"
identities = ["*"]
operations = ["acme.account.create"]
resources = ["*"]
effect = "allow"

[[binding.settings.rules]]
name = "the team's names"
identities = ["acme:*"]
operations = ["acme.order.create"]
resources = ["*.team.localhost"]
effect = "allow"
max_ttl = "30m"

[[binding.settings.rules]]
name = "short ones"
identities = ["acme:*"]
operations = ["acme.order.create"]
resources = ["short.team.localhost"]
effect = "allow"
max_ttl = "5m"

[[binding.settings.rules]]
name = "not the vault"
identities = ["*"]
operations = ["acme.order.create"]
resources = ["vault.team.localhost"]
effect = "deny"

[[binding.settings.rules]]
name = "nothing beside the lonely one"
identities = ["*"]
operations = ["acme.order.create"]
resources = ["a.team.localhost"]
effect = "deny"
when = { attributes = { names = ["lonely.team.localhost"] } }
"#;

/// The names that a problem is about.
fn subproblems(problem: &Value) -> Vec<&str> {
    let all = problem["subproblems"].as_array().unwrap();
    all.iter().map(|one| one["identifier"]["value"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_name_of_an_order_is_asked_about_by_itself() {
    let world = World::with_access_rules(TEAM).await;
    let mut client = world.start().await.client().await;
    for (names, denied) in [
        (["evil.localhost", "a.team.localhost"], "evil.localhost"),
        (["a.team.localhost", "evil.localhost"], "evil.localhost"),
        (["vault.team.localhost", "a.team.localhost"], "vault.team.localhost"),
        (["a.team.localhost", "vault.team.localhost"], "vault.team.localhost"),
        (["a.team.localhost", "lonely.team.localhost"], "a.team.localhost"),
    ] {
        let answer = client.post(&url("new-order"), &steps::names(&names)).await;
        answer.is_problem(403, "rejectedIdentifier");
        assert_eq!(subproblems(&answer.json()), [denied]);
        let lines = world.audited("acme.order.create");
        let line = lines.last().unwrap();
        assert_eq!(line["details"]["denied"], json!([denied]), "{line}");
        assert_eq!(line["outcome"]["result"], "denied", "{line}");
    }
    steps::order(&mut client, &["a.team.localhost", "b.team.localhost"]).await;
    assert_eq!(world.audited("acme.order.create").len(), 6, "one line for each order");
}

#[tokio::test]
async fn the_shortest_time_that_policies_set_for_any_name_is_the_order_s() {
    let world = World::with_access_rules(TEAM).await;
    let mut client = world.start().await.client().await;
    let mut expires =
        async |names: &[&str]| steps::order(&mut client, names).await.json()["expires"].clone();
    assert_eq!(expires(&["a.team.localhost"]).await, "2026-03-01T12:30:00Z");
    assert_eq!(
        expires(&["a.team.localhost", "short.team.localhost"]).await,
        "2026-03-01T12:05:00Z"
    );
}

#[tokio::test]
async fn an_order_of_many_names_has_one_short_line_that_names_every_denied_one() {
    let world = World::with_access_rules(TEAM).await;
    let mut client = world.start().await.client().await;
    let mut names: Vec<_> = (0..100).map(|at| format!("n{at}.team.localhost")).collect();
    names[20] = "vault.team.localhost".to_owned();
    names[90] = "evil.localhost".to_owned();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let answer = client.post(&url("new-order"), &steps::names(&names)).await;
    answer.is_problem(403, "rejectedIdentifier");
    assert_eq!(subproblems(&answer.json()), ["vault.team.localhost", "evil.localhost"]);
    let lines = world.audited("acme.order.create");
    let [line] = lines.as_slice() else { panic!("{} lines", lines.len()) };
    assert_eq!(
        line["resource"],
        "n0.team.localhost,n1.team.localhost,n2.team.localhost,n3.team.localhost and 96 more"
    );
    assert_eq!(line["details"]["names"], 100, "{line}");
    let all = names.join("\n") + "\n";
    let sum = hex::encode(digest(&SHA256, all.as_bytes()));
    assert_eq!(line["details"]["names_sha256"], json!(sum), "{line}");
    assert_eq!(line["details"]["denied"], json!(["vault.team.localhost", "evil.localhost"]));
    let said: Vec<_> = line["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["outcome"].as_str().unwrap(), one["detail"].as_str().unwrap()))
        .collect();
    assert_eq!(said[0], ("allow", "98 of 100"));
    assert_eq!(said.len(), 3, "{line}");
    let size = line.to_string().len();
    assert!(size < 3000, "{size} bytes: {line}");
}

#[tokio::test]
async fn many_names_that_are_no_names_have_one_short_line_too() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let names: Vec<_> = (0..100).map(|at| format!("n_{at}.localhost")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let answer = client.post(&url("new-order"), &steps::names(&names)).await;
    answer.is_problem(400, "rejectedIdentifier");
    let line = &world.audited("acme.order.create")[0];
    assert_eq!(line["details"]["denied"], json!(names[..8]), "{line}");
    assert_eq!(line["details"]["denied_count"], 100, "{line}");
    let size = line.to_string().len();
    assert!(size < 2000, "{size} bytes: {line}");
}

/// The longest possible names, of which policies allow some and deny others.
#[tokio::test]
async fn a_refused_order_of_many_long_names_has_one_short_line() {
    let world = World::with_access_rules(TEAM).await;
    let mut client = world.start().await.client().await;
    let long = |number: usize, end: &str| {
        let labels = [number.to_string(), "a".repeat(60), "b".repeat(60), "c".repeat(60)];
        format!("{}.{end}", labels.join("."))
    };
    let denied: Vec<_> = (0..100).map(|number| long(number, "evil.localhost")).collect();
    let mixed: Vec<_> = (0..100)
        .map(|number| long(number, ["team.localhost", "evil.localhost"][number % 2]))
        .collect();
    let wrong: Vec<_> = (0..100).map(|number| long(number, "-.localhost")).collect();
    for (names, status) in [(denied, 403), (mixed, 403), (wrong, 400)] {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let answer = client.post(&url("new-order"), &steps::names(&names)).await;
        answer.is_problem(status, "rejectedIdentifier");
        let line = world.audited("acme.order.create").pop().unwrap();
        let size = line.to_string().len();
        assert!(size < 5000, "{size} bytes: {line}");
        let all = names.join("\n") + "\n";
        let sum = hex::encode(digest(&SHA256, all.as_bytes()));
        assert_eq!(line["details"]["names_sha256"], json!(sum), "{line}");
        assert!(line["details"]["denied_count"].as_u64().unwrap() >= 50, "{line}");
    }
}

/// The log and the answer repeat what a client sends: neither may move the cursor of a reader's terminal.
#[tokio::test]
async fn what_a_client_sends_does_not_act_on_who_reads_it() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let name = "a\u{9b}2J\u{7f}\u{202e}\u{2028}\u{ad}\u{e0041}.localhost";
    let answer = client.post(&url("new-order"), &steps::names(&[name])).await;
    answer.is_problem(400, "rejectedIdentifier");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains(r"a\u{9b}2J\u{7f}\u{202e}\u{2028}\u{ad}\u{e0041}.localhost"),
        "{detail}"
    );
    let line = world.audited("acme.order.create").pop().unwrap();
    assert_eq!(line["resource"], name, "the value is as it was");
    let log = String::from_utf8(world.audit.bytes()).unwrap();
    assert!(log.contains(r"a\u009b2J\u007f\u202e\u2028\u00ad\udb40\udc41.localhost"), "{log}");
}
