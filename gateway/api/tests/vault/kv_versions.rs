use std::time::Duration;

use serde_json::json;

use crate::fixture::Fixture;

const DATA: &str = "/v1/secret/data/app/db";

async fn with_versions(count: u32) -> Fixture {
    let f = Fixture::new();
    for n in 1..=count {
        f.put("app/db", json!({ "n": n })).await;
    }
    f
}

async fn status(f: &Fixture, version: u32) -> u16 {
    f.admin("GET", &format!("{DATA}?version={version}")).await.status
}

#[tokio::test]
async fn versions_are_deleted_undeleted_and_destroyed_with_204() {
    let f = with_versions(3).await;
    for (resource, versions, expected) in [
        ("delete", json!([1, 2]), [404, 404, 200]),
        ("undelete", json!([1]), [200, 404, 200]),
        ("destroy", json!([2, 3]), [200, 404, 404]),
        ("undelete", json!([2, 3]), [200, 404, 404]),
    ] {
        let uri = format!("/v1/secret/{resource}/app/db");
        for method in ["POST", "PUT"] {
            let answer = f.admin_sends(method, &uri, json!({ "versions": versions })).await;
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        let found = [status(&f, 1).await, status(&f, 2).await, status(&f, 3).await];
        assert_eq!(found, expected, "{resource} {versions}");
    }
    let destroyed = f.admin("GET", &format!("{DATA}?version=3")).await.json();
    assert_eq!(destroyed["data"]["metadata"]["destroyed"], json!(true));
    assert_eq!(destroyed["data"]["data"], json!(null));
}

#[tokio::test]
async fn versions_may_be_numbers_digits_or_joined_by_commas() {
    for versions in [json!([1, "2"]), json!("1,2"), json!(["1, 2"])] {
        let f = with_versions(2).await;
        let body = json!({ "versions": versions });
        let answer = f.admin_sends("POST", "/v1/secret/delete/app/db", body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!((status(&f, 1).await, status(&f, 2).await), (404, 404), "{versions}");
    }
}

#[tokio::test]
async fn naming_no_versions_is_400() {
    let f = with_versions(1).await;
    for resource in ["delete", "undelete", "destroy"] {
        let uri = format!("/v1/secret/{resource}/app/db");
        for body in [json!({}), json!({"versions": []}), json!({"versions": null})] {
            let answer = f.admin_sends("POST", &uri, body).await;
            assert_eq!(answer.errors(400), "No version number provided", "{resource}");
        }
        for bad in [json!([-1]), json!(["x"]), json!([1.5]), json!({"a": 1}), json!(true)] {
            f.admin_sends("POST", &uri, json!({ "versions": bad })).await.errors(400);
        }
        let many: Vec<u32> = (0..1001).collect();
        f.admin_sends("POST", &uri, json!({ "versions": many })).await.errors(400);
        f.admin("GET", &uri).await.errors(405);
    }
    assert_eq!(status(&f, 1).await, 200);
}

#[tokio::test]
async fn unknown_versions_and_secrets_are_passed_over() {
    let f = with_versions(1).await;
    for path in ["app/db", "none"] {
        for resource in ["delete", "undelete", "destroy"] {
            let uri = format!("/v1/secret/{resource}/{path}");
            let answer = f.admin_sends("POST", &uri, json!({"versions": [7]})).await;
            assert_eq!(answer.status, 204, "{uri}");
        }
    }
    assert_eq!(status(&f, 1).await, 200);
}

#[tokio::test]
async fn undelete_sets_the_retention_again() {
    let f = Fixture::new();
    let metadata = "/v1/secret/metadata/app/db";
    f.admin_sends("POST", metadata, json!({"delete_version_after": "1h"})).await;
    let written = f.put("app/db", json!({"n": 1})).await.data();
    assert_eq!(written["deletion_time"], "2030-01-01T01:00:00Z");
    f.clock.advance(Duration::from_hours(2));
    assert_eq!(status(&f, 1).await, 404);
    let undelete = f.admin_sends("POST", "/v1/secret/undelete/app/db", json!({"versions": [1]}));
    assert_eq!(undelete.await.status, 204);
    let data = f.admin("GET", metadata).await.data();
    assert_eq!(data["versions"]["1"]["deletion_time"], "2030-01-01T03:00:00Z");
    f.clock.advance(Duration::from_mins(59));
    assert_eq!(status(&f, 1).await, 200);
    f.clock.advance(Duration::from_mins(1));
    assert_eq!(status(&f, 1).await, 404);
}
