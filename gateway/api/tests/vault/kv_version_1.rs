//! Clients that take the key-value engine for one of version 1, and those that scan.

use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_path_of_version_1_is_answered_with_a_warning_that_clients_show() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    for (method, path, command) in [
        ("GET", "app/db", "get"),
        ("LIST", "app", "list"),
        ("GET", "app/?list=true", "list"),
        ("POST", "app/db", "put"),
        ("PUT", "app/db", "put"),
        ("PATCH", "app/db", "patch"),
        ("DELETE", "app/db", "delete"),
        ("GET", "", "get"),
        ("GET", "data", "get"),
        // Names that mean something on mounts of other kinds.
        ("GET", "keys/db", "get"),
        ("GET", "cert/db", "get"),
        ("GET", "ca", "get"),
        ("GET", "public_key", "get"),
        ("GET", "config/ca", "get"),
        ("POST", "sign/db", "put"),
    ] {
        let uri = format!("/v1/secret/{path}");
        let answer = f.call("admin", method, &uri).json(&json!({"a": 1})).send().await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        let answer = answer.json();
        let warning = answer["warnings"][0].as_str().unwrap_or_default();
        assert!(warning.starts_with("Invalid path for a versioned K/V secrets engine"), "{answer}");
        assert!(warning.contains(&format!("`bao kv {command}`")), "{method} {path}: {warning}");
        assert!(answer["data"].is_null(), "{answer}");
    }
    assert_eq!(
        f.admin("GET", "/v1/secret/data/app/db").await.data()["data"]["password"],
        "hunter2"
    );
}

#[tokio::test]
async fn who_may_do_nothing_there_does_not_learn_what_is_mounted() {
    let f = Fixture::new();
    for path in ["secret/app/db", "other/app/db"] {
        let answer = f.call("nobody", "GET", &format!("/v1/{path}")).send().await;
        assert_eq!(answer.errors(404), "there is nothing at this path, or no such mount", "{path}");
        f.call("", "GET", &format!("/v1/{path}")).send().await.errors(403);
    }
    f.admin("GET", "/v1/secret/app//db").await.errors(400);
}

#[tokio::test]
async fn a_scan_is_refused_and_not_taken_for_reading() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    for (method, query) in [("SCAN", ""), ("GET", "?scan=true"), ("GET", "?list=true&scan=1")] {
        let uri = format!("/v1/secret/metadata/app{query}");
        let said = f.admin(method, &uri).await.errors(405);
        assert!(said.contains("list each folder"), "{said}");
    }
    assert_eq!(f.admin("LIST", "/v1/secret/metadata/app?scan=false").await.status, 200);
}
