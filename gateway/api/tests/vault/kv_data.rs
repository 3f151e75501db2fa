use std::time::Duration;

use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/data/app/db";

#[tokio::test]
async fn a_write_answers_with_the_version_and_a_read_with_the_whole_envelope() {
    let f = Fixture::new();
    let written = f.put("app/db", json!({"password": "hunter2"})).await.data();
    assert_eq!(
        written,
        json!({
            "created_time": "2030-01-01T00:00:00Z", "custom_metadata": null,
            "deletion_time": "", "destroyed": false, "version": 1,
        })
    );
    let read = f.admin("GET", URI).await.json();
    assert_eq!(read["data"]["data"], json!({"password": "hunter2"}));
    assert_eq!(read["data"]["metadata"], written);
    for (name, value) in [
        ("lease_id", json!("")),
        ("renewable", json!(false)),
        ("lease_duration", json!(0)),
        ("wrap_info", json!(null)),
        ("warnings", json!(null)),
        ("auth", json!(null)),
    ] {
        assert_eq!(read[name], value, "{name}");
        assert!(read.get(name).is_some(), "{name}");
    }
    assert!(read["request_id"].is_string());
}

#[tokio::test]
async fn put_is_post() {
    let f = Fixture::new();
    for (version, method) in [(1, "POST"), (2, "PUT")] {
        let answer = f.admin_sends(method, URI, json!({"data": {}})).await;
        assert_eq!(answer.data()["version"], version);
    }
}

#[tokio::test]
async fn numbers_keep_their_spelling() {
    let f = Fixture::new();
    let text = r#"{"n":1.10,"big":123456789012345678901234567890,"e":1E5}"#;
    let body = format!(r#"{{"data":{text}}}"#);
    assert_eq!(f.call("admin", "POST", URI).body(body).send().await.status, 200);
    assert!(f.admin("GET", URI).await.text.contains(text));
}

#[tokio::test]
async fn old_versions_can_be_read_and_missing_ones_are_404() {
    let f = Fixture::new();
    for n in 1..=3 {
        f.put("app/db", json!({"n": n})).await;
    }
    for (query, n) in [("", 3), ("?version=0", 3), ("?version=", 3), ("?version=2", 2)] {
        let read = f.admin("GET", &format!("{URI}{query}")).await.data();
        assert_eq!(read["data"]["n"], n, "{query}");
    }
    assert_eq!(f.admin("GET", &format!("{URI}?version=4")).await.errors(404), "");
    assert_eq!(f.admin("GET", "/v1/secret/data/none").await.errors(404), "");
    for bad in ["x", "-1", "1.5", "18446744073709551616"] {
        f.admin("GET", &format!("{URI}?version={bad}")).await.errors(400);
    }
}

#[tokio::test]
async fn a_deleted_version_is_404_with_a_body() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    f.clock.advance(Duration::from_secs(5));
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
    let answer = f.admin("GET", URI).await;
    assert_eq!(answer.status, 404);
    let json = answer.json();
    assert_eq!(json["data"]["data"], json!(null));
    assert_eq!(json["data"]["metadata"]["deletion_time"], "2030-01-01T00:00:05Z");
    assert_eq!(json["data"]["metadata"]["destroyed"], json!(false));
    assert_eq!(json["data"]["metadata"]["version"], json!(1));
    assert!(json["request_id"].is_string());
    assert!(!answer.text.contains("hunter2"));
}

#[tokio::test]
async fn deleting_twice_or_what_is_not_there_is_204() {
    let f = Fixture::new();
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
    f.put("app/db", json!({})).await;
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
}

#[tokio::test]
async fn cas_0_creates_only() {
    let f = Fixture::new();
    let create = json!({"data": {"n": 1}, "options": {"cas": 0}});
    assert_eq!(f.admin_sends("POST", URI, create.clone()).await.status, 200);
    let again = f.admin_sends("POST", URI, create).await;
    let mismatch = "check-and-set parameter did not match the current version";
    assert_eq!(again.errors(400), mismatch, "never 409 or 412: clients retry those");
}

#[tokio::test]
async fn cas_must_be_the_current_version_even_if_that_is_deleted() {
    let f = Fixture::new();
    f.put("app/db", json!({"n": 1})).await;
    f.admin("DELETE", URI).await;
    let write = |cas| f.admin_sends("POST", URI, json!({"data": {}, "options": {"cas": cas}}));
    write(json!(0)).await.errors(400);
    write(json!(2)).await.errors(400);
    assert_eq!(write(json!("1")).await.data()["version"], json!(2), "as digits");
    for bad in [json!(-1), json!("x"), json!(1.5), json!([1])] {
        write(bad).await.errors(400);
    }
}

#[tokio::test]
async fn a_write_without_an_object_as_data_is_400() {
    let f = Fixture::new();
    for body in [json!({}), json!({"data": null}), json!({"password": "hunter2"})] {
        let answer = f.admin_sends("POST", URI, body).await;
        assert_eq!(answer.errors(400), "no data provided");
    }
    for body in [json!({"data": []}), json!({"data": "hunter2"}), json!({"data": {}, "options": 1})]
    {
        let answer = f.admin_sends("POST", URI, body).await;
        answer.errors(400);
        assert!(!answer.text.contains("hunter2"));
    }
    assert_eq!(f.admin("GET", URI).await.status, 404, "nothing was written");
}

#[tokio::test]
async fn patch_merges_into_the_newest_version() {
    let f = Fixture::new();
    f.put("app/db", json!({"user": "app", "password": "hunter2", "more": {"a": 1}})).await;
    let patch = json!({"data": {"password": "new", "user": null, "more": {"b": 2}}});
    let answer = f.call("admin", "PATCH", URI).merge_patch(&patch).send().await;
    assert_eq!(answer.data()["version"], json!(2));
    let read = f.admin("GET", URI).await.data();
    assert_eq!(read["data"], json!({"password": "new", "more": {"a": 1, "b": 2}}));
    let stale = json!({"data": {}, "options": {"cas": 1}});
    f.call("admin", "PATCH", URI).merge_patch(&stale).send().await.errors(400);
}

#[tokio::test]
async fn a_patch_that_is_not_a_merge_patch_is_415() {
    let f = Fixture::new();
    f.put("app/db", json!({"n": 1})).await;
    let body = json!({"data": {"n": 2}});
    f.admin_sends("PATCH", URI, body.clone()).await.errors(415);
    f.call("admin", "PATCH", URI).body(body.to_string()).send().await.errors(415);
    let with_charset = f
        .call("admin", "PATCH", URI)
        .header("content-type", "Application/Merge-Patch+JSON; charset=utf-8")
        .body(body.to_string());
    assert_eq!(with_charset.send().await.status, 200);
}

#[tokio::test]
async fn patching_what_is_missing_or_deleted_is_404() {
    let f = Fixture::new();
    let patch = || f.call("admin", "PATCH", URI).merge_patch(&json!({"data": {"n": 2}}));
    assert_eq!(patch().send().await.errors(404), "");
    f.put("app/db", json!({"n": 1})).await;
    f.admin("DELETE", URI).await;
    let gone = patch().send().await;
    assert_eq!((gone.status, &gone.json()["data"]["data"]), (404, &json!(null)));
}

#[tokio::test]
async fn a_version_disappears_when_its_time_has_come() {
    let f = Fixture::new();
    let settings = json!({"delete_version_after": "1h"});
    f.admin_sends("POST", "/v1/secret/metadata/app/db", settings).await;
    let written = f.put("app/db", json!({"n": 1})).await.data();
    assert_eq!(written["deletion_time"], "2030-01-01T01:00:00Z");
    f.clock.advance(Duration::from_secs(3599));
    assert_eq!(f.admin("GET", URI).await.status, 200);
    f.clock.advance(Duration::from_secs(1));
    assert_eq!(f.admin("GET", URI).await.status, 404);
}

#[tokio::test]
async fn other_methods_are_405() {
    let f = Fixture::new();
    for method in ["LIST", "HEAD", "OPTIONS", "TRACE", "BREW"] {
        let answer = f.admin(method, URI).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    f.admin("GET", &format!("{URI}?list=true")).await.errors(405);
}

#[tokio::test]
async fn a_mount_that_does_not_exist_is_404_for_those_who_might_use_it_and_403_for_others() {
    let f = Fixture::new();
    let root = |uri| f.call("root", "GET", uri).send();
    for uri in
        ["/v1/none/data/x", "/v1/none/metadata/x", "/v1/none/config", "/v1/none/metadata/?list"]
    {
        assert_eq!(
            root(uri).await.errors(404),
            "there is nothing at this path, or no such mount",
            "{uri}"
        );
        assert_eq!(f.sink.lines().pop().unwrap()["outcome"]["code"], "no-mount");
        f.admin("GET", uri).await.errors(403);
    }
    for uri in ["/v1/sys/data/x", "/v1/SECRET/data/x", "/v1/x", "/v1/"] {
        assert_eq!(
            root(uri).await.errors(404),
            "there is nothing at this path, or no such mount",
            "{uri}"
        );
    }
}
