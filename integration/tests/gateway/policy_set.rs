//! Changing the set of policies of a gateway that is running, and going back.

use chancery_integration::gateway::{Gateway, chancery};
use chancery_integration::process;
use chancery_integration::site::Site;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway that takes its policies only when it is told.
pub(crate) fn unwatched(site: &Site) -> Gateway {
    drop(Gateway::start(site).stop());
    Gateway::serve(site, |config| {
        let policy = config["policy"].as_table_mut().expect("a table");
        policy.insert("watch".to_owned(), false.into());
    })
}

/// Gives the application another folder, in the document of the bindings.
fn move_rule(gateway: &Gateway, from: &str, to: &str) {
    let bindings = gateway.path("policies/access.toml");
    let text = std::fs::read_to_string(&bindings).expect("the bindings can be read");
    assert!(text.contains(from), "the rule that the test changes is there");
    std::fs::write(&bindings, text.replace(from, to)).expect("the bindings can be written");
}

/// Waits until the application gets this answer for a secret that is not there: 404 where it may read,
/// 403 where it may not.
#[track_caller]
fn until(gateway: &Gateway, path: &str, status: u16) {
    let app = gateway.app();
    process::eventually(&format!("{path} is {status}"), PATIENCE, || {
        (app.get(path).status == status).then_some(())
    });
}

fn loads(gateway: &Gateway) -> Vec<Value> {
    let lines = gateway.audit().into_iter();
    lines
        .filter(|line| line["operation"] == "policy-set.load")
        .map(|line| serde_json::from_str(&line.to_string()).expect("JSON"))
        .collect()
}

const APP: &str = "secret/app/*";
const TEAM: &str = "secret/team/*";

#[test]
fn changed_files_take_effect_by_themselves_and_bad_ones_do_not() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    until(&gateway, "/v1/secret/data/team/db", 403);
    move_rule(&gateway, APP, TEAM);
    until(&gateway, "/v1/secret/data/team/db", 404);
    until(&gateway, "/v1/secret/data/app/db", 403);

    move_rule(&gateway, "[[binding]]", "[[bindign]]");
    let refused = process::eventually("the refusal is on record", PATIENCE, || {
        loads(&gateway).into_iter().find(|line| line["outcome"]["result"] == "failed")
    });
    let reason = refused["details"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("access.toml") && reason.contains("bindign"), "{reason}");
    assert_eq!(gateway.app().get("/v1/secret/data/team/db").status, 404, "the old set is in force");
    gateway.assert_up();

    // One command goes back, past the set that was never taken.
    let config = gateway.path("chancery.toml");
    let config = config.to_string_lossy();
    let said = chancery(&["policy", "rollback", "--config", &config, "--to", "1"]).success();
    assert!(said.stdout.contains("set 1 is put back"), "{said}");
    assert!(
        said.stdout.contains("set aside, as it is not in that set: access.toml.aside-1"),
        "{said}"
    );
    until(&gateway, "/v1/secret/data/app/db", 404);
    let said = chancery(&["policy", "history", "--config", &config]).success();
    assert_eq!(said.stdout.lines().filter(|line| line.contains("sha256:")).count(), 3, "{said}");
    assert!(said.stdout.contains("access: access-rules 0."), "{said}");
    // A set is in force before its line is written.
    process::eventually("both sets are on record", PATIENCE, || {
        let lines = loads(&gateway).into_iter();
        let lines = lines.filter(|line| line["outcome"]["result"] == "success");
        let taken: Vec<_> = lines.map(|line| line["details"]["number"].as_u64()).collect();
        (taken == [Some(2), Some(3)]).then_some(())
    });
}

#[test]
fn an_administrator_reloads_and_goes_back_by_the_api() {
    let site = Site::new();
    let gateway = unwatched(&site);
    let (admin, app) = (gateway.admin(), gateway.app());
    for target in ["/v1/sys/policy-set/reload", "/v1/sys/policy-set/rollback"] {
        assert_eq!(app.post(target, &json!({})).status, 403, "{target}");
        assert_eq!(admin.get(target).status, 405, "{target}");
    }
    assert_eq!(app.get("/v1/sys/policy-set").status, 403);
    let shown = admin.get("/v1/sys/policy-set").expect(200).json()["data"].clone();
    assert_eq!((&shown["number"], &shown["history"][0]["number"]), (&json!(1), &json!(1)));
    assert_eq!(shown["bindings"][0]["binding"], "access", "{shown}");

    move_rule(&gateway, APP, TEAM);
    assert_eq!(app.get("/v1/secret/data/app/db").status, 404, "not before it is told");
    let done = admin.post("/v1/sys/policy-set/reload", &json!({})).expect(200).json();
    assert_eq!(done["data"]["number"], 2, "{done}");
    assert_ne!(done["data"]["digest"], shown["digest"]);
    assert_eq!(app.get("/v1/secret/data/app/db").status, 403);

    move_rule(&gateway, "[[binding]]", "[[bindign]]");
    let refused = admin.post("/v1/sys/policy-set/reload", &json!({}));
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("bindign"), "{}", refused.text());

    let unknown = admin.post("/v1/sys/policy-set/rollback", &json!({ "to": 9 }));
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("kept: 2, 1"), "{}", unknown.text());
    let done = admin.post("/v1/sys/policy-set/rollback", &json!({})).expect(200).json();
    assert_eq!((&done["data"]["restored"], &done["data"]["number"]), (&json!(1), &json!(3)));
    assert_eq!(app.get("/v1/secret/data/app/db").status, 404);
    let line = gateway
        .audit()
        .into_iter()
        .rev()
        .find(|line| line["operation"] == "policy-set.rollback")
        .expect("it is on record");
    assert_eq!(line["actor"]["identity"], "spiffe://dev.chancery/admin");
    assert_eq!(line["details"]["set"], shown["digest"], "{line}");
}
