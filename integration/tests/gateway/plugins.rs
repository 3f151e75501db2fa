//! Policies that loop, trap, grow or answer garbage deny what they were asked about, the audit log
//! says why, and everybody else is served as before.

use aws_lc_rs::digest;
use chancery_integration::gateway::Gateway;
use chancery_integration::plugin::Access;
use chancery_integration::site::Site;
use serde_json::json;

/// Binds a policy to everything below `secret/app/trap`, beside the existing policies.
fn bind(gateway: &Gateway, policy: Access, limits: &str) {
    let component = policy.component();
    let plugin = gateway.path("policies/plugins/by-hand.wasm");
    std::fs::write(plugin, &component).expect("the plugin can be written");
    let sha256 = hex::encode(digest::digest(&digest::SHA256, &component));
    let binding = format!(
        "[[binding]]\nname = \"by-hand\"\ndecision = \"access\"\n\
         plugin = {{ file = \"plugins/by-hand.wasm\", digest = \"sha256:{sha256}\" }}\n\
         match = {{ resources = [\"secret/app/trap*\"] }}\nlimits = {{ {limits} }}\n"
    );
    std::fs::write(gateway.path("policies/by-hand.toml"), binding)
        .expect("the binding can be written");
    let said = gateway.reload();
    assert!(!said.contains("reload failed"), "{said}");
}

#[test]
fn a_policy_that_fails_denies_and_the_audit_log_says_why() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let app = gateway.app();
    let body = json!({ "data": { "a": "b" } });
    bind(&gateway, Access::Allows, "deadline_ms = 1000, memory_kib = 2048");
    drop(app.post("/v1/secret/data/app/trap", &body).expect(200));
    drop(app.post("/v1/secret/data/app/other", &body).expect(200));

    for (policy, cause) in [
        (Access::Loops, "error:deadline"),
        (Access::Traps, "error:trap"),
        (Access::Grows, "error:memory"),
        (Access::Recurses, "error:stack"),
        (Access::AnswersGarbage, "error:answer"),
        (Access::AnswersTooMuch, "error:answer-too-large"),
    ] {
        bind(&gateway, policy, "deadline_ms = 50, memory_kib = 20480");
        let denied = app.get("/v1/secret/data/app/trap").expect(403);
        assert!(
            !denied.text().contains("error:"),
            "{policy:?}, internals stay inside: {}",
            denied.text()
        );
        let lines = gateway.audit();
        let line = lines
            .iter()
            .rev()
            .find(|line| {
                line["operation"] == "secrets.read" && line["resource"] == "secret/app/trap"
            })
            .expect("the denial is in the audit log");
        let decisions = line["decisions"].as_array().expect("decisions");
        let ours = decisions
            .iter()
            .find(|decision| decision["binding"] == "by-hand")
            .expect("it was asked");
        assert_eq!(ours["outcome"], cause, "{policy:?}: {line}");
        assert!(line["outcome"].to_string().contains("denied"), "{policy:?}: {line}");
        // Clients that are not affected are served as before.
        assert_eq!(app.get("/v1/secret/data/app/other").status, 200, "{policy:?}");
        gateway.assert_up();
    }
    // Without the policy, everything is as it was.
    std::fs::remove_file(gateway.path("policies/by-hand.toml"))
        .expect("the binding can be removed");
    assert!(!gateway.reload().contains("reload failed"));
    assert_eq!(app.get("/v1/secret/data/app/trap").status, 200);
}

#[test]
fn a_plugin_that_is_not_what_its_binding_pins_is_not_loaded() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    bind(&gateway, Access::Allows, "deadline_ms = 1000, memory_kib = 2048");
    let plugin = gateway.path("policies/plugins/by-hand.wasm");
    for content in [Access::Traps.component(), b"\0asm garbage".to_vec(), Vec::new()] {
        std::fs::write(&plugin, content).expect("the plugin can be written");
        let said = gateway.reload();
        assert!(said.contains("reload failed") && said.contains("by-hand"), "{said}");
        // The earlier set stays in force.
        assert_eq!(gateway.app().get("/v1/secret/data/app/trap").status, 404);
    }
    gateway.assert_up();
    // A start with it fails with a clear error too.
    drop(gateway.stop());
    let said = chancery_integration::gateway::Options::new(&site).start_fails();
    assert!(said.stderr.contains("by-hand.wasm"), "{said}");
}

#[test]
fn what_a_policy_says_while_it_is_configured_is_in_the_log() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    bind(&gateway, Access::TellsItsSettings, "deadline_ms = 1000 }\nsettings = { a = 4711");
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("chancery::policy")).expect("a line of it");
    assert!(line.contains(r#"{"a":4711}"#) && line.contains("by-hand"), "{line}");
}

#[test]
fn without_any_policy_nothing_is_allowed() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let app = gateway.app();
    drop(app.post("/v1/secret/data/app/db", &json!({ "data": {} })).expect(200));
    for entry in
        std::fs::read_dir(gateway.path("policies")).expect("the policies are there").flatten()
    {
        if entry.path().extension().is_some_and(|extension| extension == "toml") {
            std::fs::remove_file(entry.path()).expect("a binding can be removed");
        }
    }
    assert!(!gateway.reload().contains("reload failed"));
    drop(app.get("/v1/secret/data/app/db").expect(403));
    let last = gateway.audit().pop().expect("a line");
    assert!(last.to_string().contains("no-policy"), "{last}");
    gateway.assert_up();
}
