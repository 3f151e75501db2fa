use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_path_that_could_slip_past_a_rule_is_400_before_any_policy_sees_it() {
    let f = Fixture::new();
    let lines = f.sink.lines().len();
    for path in [
        "app/../vault/x",
        "..",
        ".",
        "app/./db",
        "app//db",
        "/app/db",
        "app/db/",
        "app/db//",
        "app%2fdb",
        "app%2Fdb",
        "app/%2e%2e/vault/x",
        "app/%2E/db",
        "app/.%2e/db",
        "app%252fdb",
        "app/db%00",
        "app/db%0a",
        "app/db%7f",
        "app/%E2%80%AEbd",
        "app/%ff",
        "app/%c3%28",
    ] {
        for (method, resource) in [
            ("GET", "data"),
            ("POST", "data"),
            ("PATCH", "data"),
            ("DELETE", "data"),
            ("POST", "delete"),
            ("POST", "undelete"),
            ("PUT", "destroy"),
            ("GET", "metadata"),
            ("POST", "metadata"),
            ("DELETE", "metadata"),
        ] {
            let uri = format!("/v1/secret/{resource}/{path}");
            let answer =
                f.call("admin", method, &uri).merge_patch(&json!({"data": {}, "versions": [1]}));
            answer.send().await.errors(400);
        }
    }
    assert_eq!(f.sink.lines().len(), lines, "no policy was asked");
}

#[tokio::test]
async fn a_listing_may_end_in_a_slash_and_nothing_else() {
    let f = Fixture::new();
    f.put("app/db", json!({})).await;
    assert_eq!(f.admin("LIST", "/v1/secret/metadata/app/").await.status, 200);
    for path in ["app//", "/", "app/../", "app/%2e%2e/", "app%2f", "./"] {
        f.admin("LIST", &format!("/v1/secret/metadata/{path}")).await.errors(400);
    }
}

#[tokio::test]
async fn tricks_in_front_of_the_path_reach_no_secret() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    for uri in [
        "/v1/secret/../secret/data/app/db",
        "/v1/./secret/data/app/db",
        "/v1//secret/data/app/db",
        "/v1/secret//data/app/db",
        "/v1/%73ecret/data/app/db",
        "/v1/secret/d%61ta/app/db",
        "/v1/secret%2fdata/app/db",
        "/v1/secret/Data/app/db",
        "/v1/Secret/data/app/db",
    ] {
        let answer = f.admin("GET", uri).await;
        assert!(matches!(answer.status, 400 | 404), "{uri}: {answer:?}");
        assert!(!answer.text.contains("hunter2"), "{uri}");
    }
}

#[tokio::test]
async fn case_matters_so_a_variant_does_not_slip_past_a_deny() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    let answer = f.admin("GET", "/v1/secret/data/app/DB").await;
    assert_eq!(answer.errors(404), "", "another secret, which does not exist");
    f.admin("GET", "/v1/secret/data/vault/x").await.errors(403);
}

#[tokio::test]
async fn ordinary_names_may_be_encoded() {
    let f = Fixture::new();
    f.put("app/a%20b/%C3%A9", json!({"n": 1})).await;
    let keys = f.admin("LIST", "/v1/secret/metadata/app/a%20b").await.data()["keys"].clone();
    assert_eq!(keys, json!(["é"]));
    assert_eq!(f.admin("GET", "/v1/secret/data/app/a%20b/%c3%a9").await.status, 200);
    assert_eq!(f.sink.lines().pop().unwrap()["resource"], "secret/app/a b/é");
}

#[tokio::test]
async fn a_path_has_a_longest_length() {
    let f = Fixture::new();
    let uri = |length: usize| format!("/v1/secret/data/{}", "p".repeat(length));
    assert_eq!(f.admin_sends("POST", &uri(768), json!({"data": {}})).await.status, 200);
    f.admin_sends("POST", &uri(769), json!({"data": {}})).await.errors(400);
}
