//! Policies that loop, trap, grow or answer garbage deny what they were asked about, the audit log
//! says why, and everybody else is served as before.

use aws_lc_rs::digest;
use chancery_integration::gateway::Gateway;
use chancery_integration::plugin::Access;
use chancery_integration::site::Site;
use serde_json::json;

/// Binds a policy to what goes on below `secret/app/trap`, beside the policies that are there.
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
        bind(&gateway, policy, "deadline_ms = 50, memory_kib = 2048");
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
        // Whoever is not concerned is served as before.
        assert_eq!(app.get("/v1/secret/data/app/other").status, 200, "{policy:?}");
        gateway.assert_up();
    }
    // With the policy gone, everything is as it was.
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
        // What was loaded before stays in force.
        assert_eq!(gateway.app().get("/v1/secret/data/app/trap").status, 404);
    }
    gateway.assert_up();
    // A start with it fails just as clearly.
    drop(gateway.stop());
    let said = chancery_integration::gateway::Options::new(&site).start_fails();
    assert!(said.stderr.contains("by-hand.wasm"), "{said}");
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

/// Resident memory of the gateway, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id()))
        .expect("the gateway is up");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("resident memory");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
    kib.expect("a number of KiB")
}

/// Sends 200 requests at once, each about a path for which a policy loops, while an honest client goes
/// on reading. Says how many honest requests were answered meanwhile.
fn attack(gateway: &Gateway) -> usize {
    const REQUESTS: usize = 200;
    let connected = std::sync::Barrier::new(REQUESTS + 1);
    let running = std::sync::atomic::AtomicUsize::new(REQUESTS);
    let app = gateway.app();
    std::thread::scope(|scope| {
        for _ in 0..REQUESTS {
            scope.spawn(|| {
                let mut connection = app.connect().expect("a connection");
                connected.wait();
                let answer = connection
                    .send("GET", "/v1/secret/data/app/trap", &[], b"")
                    .expect("an answer, even if it is a refusal");
                // Denied by the deadline, or not taken because too many wait already.
                assert!([403, 429].contains(&answer.status), "{}", answer.text());
                running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        let mut honest = app.connect().expect("a connection");
        connected.wait();
        let mut answered = 0;
        while answered == 0 || running.load(std::sync::atomic::Ordering::SeqCst) > 0 {
            let answer = honest
                .send("GET", "/v1/secret/data/app/other", &[], b"")
                .expect("an honest request is answered");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answered += 1;
        }
        answered
    })
}

#[test]
fn two_hundred_loops_at_once_keep_nobody_else_waiting_and_leave_nothing_behind() {
    let site = Site::new();
    let mut gateway = Gateway::start(&site);
    let body = json!({ "data": { "a": "b" } });
    drop(gateway.app().post("/v1/secret/data/app/other", &body).expect(200));
    bind(&gateway, Access::Loops, "deadline_ms = 20, memory_kib = 2048");
    assert!(attack(&gateway) > 0);
    let after_one = resident(&gateway);
    for _ in 0..3 {
        attack(&gateway);
    }
    let after_four = resident(&gateway);
    assert!(after_four < after_one + 64 * 1024, "{after_one} KiB became {after_four} KiB");
    let log = gateway.log();
    assert!(log.contains("the policy fails repeatedly"), "{log}");
    // The policy is repaired, and decides again.
    bind(&gateway, Access::Allows, "deadline_ms = 1000, memory_kib = 2048");
    assert_eq!(gateway.app().get("/v1/secret/data/app/trap").status, 404);
    gateway.assert_up();
}
