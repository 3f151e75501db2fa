use chancery_api::Serving;
use chancery_api::vault::Condition;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn health_needs_no_certificate_and_follows_the_condition() {
    let f = Fixture::new();
    for (condition, status, sealed) in [
        (Condition::Active, 200, false),
        (Condition::Standby, 429, false),
        (Condition::Uninitialised, 501, true),
        (Condition::Sealed, 503, true),
    ] {
        f.condition.send(condition).unwrap();
        for method in ["GET", "HEAD"] {
            let answer = f.call("", method, "/v1/sys/health").send().await;
            assert_eq!(answer.status, status);
            if method == "GET" {
                assert_eq!(answer.json()["sealed"], sealed);
            }
        }
    }
    let answer = f.call("", "GET", "/v1/sys/health?sealedcode=299").send().await;
    assert_eq!(answer.status, 299);
    assert_eq!(answer.json()["version"], "0.1.0");
    f.call("", "GET", "/v1/sys/health?sealedcode=42").send().await.errors(400);
    f.call("", "POST", "/v1/sys/health").send().await.errors(405);
}

#[tokio::test]
async fn health_has_the_status_of_a_sealed_gateway_while_requests_are_refused() {
    let f = Fixture::new();
    for (serving, status) in [
        (Serving::All, 200),
        (Serving::AuditAlmostFull, 200),
        (Serving::ReadOnly, 200),
        (Serving::NoAudit, 503),
        (Serving::NoStore, 503),
        (Serving::Draining, 503),
    ] {
        f.serving.send(serving).unwrap();
        let answer = f.call("", "GET", "/v1/sys/health").send().await;
        assert_eq!(answer.status, status, "{serving:?}");
        assert_eq!(answer.json()["sealed"], false);
        assert_eq!(answer.json()["errors"].is_array(), status == 503, "{serving:?}");
    }
    f.serving.send(Serving::NoAudit).unwrap();
    let answer = f.call("", "GET", "/v1/sys/health?sealedcode=299&activecode=204").send().await;
    assert_eq!(answer.status, 299);
    let why = "the audit log cannot be written: every request is refused";
    assert_eq!(answer.json()["errors"], json!([why]));
}

#[tokio::test]
async fn seal_status_has_what_clients_read() {
    let f = Fixture::new();
    let status = f.call("", "GET", "/v1/sys/seal-status").send().await.json();
    for (name, value) in [
        ("sealed", json!(false)),
        ("initialized", json!(true)),
        ("t", json!(1)),
        ("n", json!(1)),
        ("progress", json!(0)),
        ("nonce", json!("")),
        ("type", json!("file")),
        ("version", json!("0.1.0")),
        ("cluster_name", json!("test")),
        ("storage_type", json!("memory")),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    let leader = f.call("", "GET", "/v1/sys/leader").send().await.json();
    assert_eq!(leader, json!({"ha_enabled": false}));
}

#[tokio::test]
async fn init_tells_whether_there_is_a_store() {
    let f = Fixture::new();
    assert_eq!(f.call("", "GET", "/v1/sys/init").send().await.json(), json!({"initialized": true}));
    f.condition.send(Condition::Uninitialised).unwrap();
    let answer = f.call("", "GET", "/v1/sys/init").send().await.json();
    assert_eq!(answer, json!({"initialized": false}));
}

#[tokio::test]
async fn a_sealed_gateway_serves_nothing_else() {
    let f = Fixture::new();
    f.condition.send(Condition::Sealed).unwrap();
    f.admin("GET", "/v1/secret/data/app/db").await.errors(503);
}

#[tokio::test]
async fn the_preflight_names_the_mount_and_its_version_is_a_text() {
    let f = Fixture::new();
    for path in ["secret/app/db", "secret/app", "secret/app/", "secret/app/none"] {
        let uri = format!("/v1/sys/internal/ui/mounts/{path}");
        let data = f.call("app", "GET", &uri).send().await.data();
        assert_eq!(data["path"], "secret/", "{path}");
        assert_eq!(data["type"], "kv");
        assert_eq!(data["options"], json!({"version": "2"}));
    }
    let data = f.admin("GET", "/v1/sys/internal/ui/mounts/secret").await.data();
    assert_eq!(data["path"], "secret/");
}

#[tokio::test]
async fn the_preflight_refuses_an_unknown_and_a_forbidden_mount_with_the_same_403() {
    let f = Fixture::new();
    let mut answers = Vec::new();
    for path in
        ["none/app", "secret/other", "secret/vault/x", "sys/health", "secret", "Secret/app/x"]
    {
        let uri = format!("/v1/sys/internal/ui/mounts/{path}");
        let answer = f.call("app", "GET", &uri).send().await;
        answers.push(answer.errors(403));
        assert!(answer.text.contains("permission denied"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    f.call("app", "GET", "/v1/sys/internal/ui/mounts/secret/app/../x").send().await.errors(400);
    f.call("", "GET", "/v1/sys/internal/ui/mounts/secret/app/db").send().await.errors(403);
}

#[tokio::test]
async fn the_preflight_shows_a_mount_to_whoever_may_read_mounts_and_nothing_else() {
    let f = Fixture::new();
    for path in ["secret", "secret/", "secret/other/x"] {
        let uri = format!("/v1/sys/internal/ui/mounts/{path}");
        assert_eq!(f.call("looker", "GET", &uri).send().await.data()["path"], "secret/", "{path}");
    }
    f.call("looker", "GET", "/v1/sys/internal/ui/mounts/none").send().await.errors(403);
    f.call("looker", "GET", "/v1/secret/data/other/x").send().await.errors(403);
    let all = f.call("looker", "GET", "/v1/sys/internal/ui/mounts").send().await.data();
    assert_eq!(all["secret"]["secret/"]["type"], "kv");
}

#[tokio::test]
async fn mounts_repeat_their_data_at_the_top_level() {
    let f = Fixture::new();
    let answer = f.admin("GET", "/v1/sys/mounts").await.json();
    assert_eq!(answer["data"]["secret/"]["type"], "kv");
    assert_eq!(answer["secret/"], answer["data"]["secret/"]);
    assert!(answer["request_id"].is_string());
    let visible = f.admin("GET", "/v1/sys/internal/ui/mounts").await.data();
    assert_eq!(visible["secret"]["secret/"]["options"]["version"], "2");
    assert_eq!(visible["auth"]["cert/"]["type"], "cert");
    let app = f.call("app", "GET", "/v1/sys/internal/ui/mounts").send().await.data();
    assert_eq!(app["secret"], json!({}), "it may do nothing at the top of the mount");
}

#[tokio::test]
async fn the_ways_to_log_in_are_listed_as_vault_lists_them() {
    let f = Fixture::new();
    let answer = f.call("app", "GET", "/v1/sys/auth").send().await.json();
    assert_eq!(answer["data"]["cert/"]["type"], "cert");
    assert_eq!(answer["token/"], answer["data"]["token/"]);
    f.call("", "GET", "/v1/sys/auth").send().await.errors(403);
    f.call("app", "POST", "/v1/sys/auth").send().await.errors(405);
}

#[tokio::test]
async fn whoever_wants_to_initialise_it_is_told_that_it_is_initialised() {
    let f = Fixture::new();
    for method in ["PUT", "POST"] {
        let init = f.call("", method, "/v1/sys/init").json(&json!({"secret_shares": 5}));
        assert_eq!(init.send().await.errors(400), "Vault is already initialized");
    }
    assert_eq!(f.call("", "GET", "/v1/sys/init").send().await.json(), json!({"initialized": true}));
    f.call("", "DELETE", "/v1/sys/init").send().await.errors(405);
}

#[tokio::test]
async fn a_backup_is_for_those_who_may_and_comes_in_pieces() {
    let f = Fixture::new();
    let answer = f.call("root", "GET", "/v1/sys/backup").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text, "whole backup");
    f.call("app", "GET", "/v1/sys/backup").send().await.errors(403);
    f.call("root", "POST", "/v1/sys/backup").send().await.errors(405);
    f.call("", "GET", "/v1/sys/backup").send().await.errors(403);
}

#[tokio::test]
async fn what_acts_on_all_tenants_is_refused_to_the_administrators_of_the_others() {
    let f = Fixture::new();
    let of_b = || {
        let mut other = f.certificate("root");
        other.identity.as_mut().unwrap().tenant = "b".parse().unwrap();
        other
    };
    for (method, path) in [
        ("GET", "/v1/sys/backup"),
        ("GET", "/v1/sys/policy-set"),
        ("POST", "/v1/sys/policy-set/reload"),
        ("POST", "/v1/sys/policy-set/rollback"),
        ("GET", "/v1/sys/keys"),
        ("GET", "/v1/sys/tokens"),
        ("POST", "/v1/sys/tokens/hsm/drain"),
        ("POST", "/v1/sys/tokens/hsm/resume"),
    ] {
        let told = f.call("", method, path).with(of_b()).send().await.errors(403);
        assert!(told.contains("administration.tenant"), "{path}: {told}");
        let line = f.sink.lines().pop().unwrap();
        assert_eq!(line["outcome"]["code"], "not-administration-tenant", "{path}");
        assert_eq!(line["tenant"], "b", "{path}");
    }
    f.call("", "GET", "/v1/sys/groups").with(of_b()).send().await.data();
}
