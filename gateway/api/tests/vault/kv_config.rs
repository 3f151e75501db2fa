use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/config";

#[tokio::test]
async fn the_config_has_its_defaults_and_keeps_what_is_written() {
    let f = Fixture::new();
    let default = json!({"cas_required": false, "delete_version_after": "0s", "max_versions": 10});
    assert_eq!(f.admin("GET", URI).await.data(), default);
    let changed = json!({"max_versions": 2, "cas_required": true, "delete_version_after": "1h30m"});
    assert_eq!(f.admin_sends("POST", URI, changed).await.status, 204);
    let expected =
        json!({"cas_required": true, "delete_version_after": "1h30m0s", "max_versions": 2});
    assert_eq!(f.admin("GET", URI).await.data(), expected);
    assert_eq!(f.admin_sends("PUT", URI, json!({"cas_required": false})).await.status, 204);
    let written = f.put("app/db", json!({})).await.data();
    assert_eq!(written["deletion_time"], "2030-01-01T01:30:00Z");
    let never = json!({"delete_version_after": "-1s", "max_versions": 0});
    assert_eq!(f.admin_sends("PUT", URI, never).await.status, 204);
    assert_eq!(f.put("app/db", json!({})).await.data()["deletion_time"], "");
    assert_eq!(f.admin("GET", URI).await.data()["max_versions"], json!(10));
}

#[tokio::test]
async fn cas_can_be_required_by_the_mount() {
    let f = Fixture::new();
    f.admin_sends("POST", URI, json!({"cas_required": true})).await;
    let write = f.admin_sends("POST", "/v1/secret/data/app/db", json!({"data": {}})).await;
    assert_eq!(write.errors(400), "check-and-set parameter required for this call");
}

#[tokio::test]
async fn the_config_is_for_who_may_and_its_values_are_checked() {
    let f = Fixture::new();
    f.call("app", "GET", URI).send().await.errors(403);
    f.call("app", "POST", URI).json(&json!({"cas_required": true})).send().await.errors(403);
    for bad in [
        json!({"max_versions": "x"}),
        json!({"max_versions": 1001}),
        json!({"delete_version_after": []}),
    ] {
        f.admin_sends("POST", URI, bad).await.errors(400);
    }
    f.admin("DELETE", URI).await.errors(405);
}
