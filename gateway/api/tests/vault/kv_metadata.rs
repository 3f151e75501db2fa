use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/metadata/app/db";

#[tokio::test]
async fn versions_are_keyed_by_texts_and_unset_times_are_empty() {
    let f = Fixture::new();
    f.put("app/db", json!({"n": 1})).await;
    f.put("app/db", json!({"n": 2})).await;
    f.admin_sends("PUT", "/v1/secret/destroy/app/db", json!({"versions": [1]})).await;
    let entry = |destroyed| json!({"created_time": "2030-01-01T00:00:00Z", "deletion_time": "", "destroyed": destroyed});
    assert_eq!(
        f.admin("GET", URI).await.data(),
        json!({
            "cas_required": false, "created_time": "2030-01-01T00:00:00Z", "current_version": 2,
            "custom_metadata": null, "delete_version_after": "0s", "max_versions": 0,
            "oldest_version": 0, "updated_time": "2030-01-01T00:00:00Z",
            "versions": {"1": entry(true), "2": entry(false)},
        })
    );
    assert_eq!(f.admin("GET", "/v1/secret/metadata/none").await.errors(404), "");
}

#[tokio::test]
async fn lists_are_read_in_pages() {
    let f = Fixture::new();
    for at in ["app/a", "app/b/x", "app/c", "app/d"] {
        f.put(at, json!({})).await;
    }
    for name in ["one", "three", "two"] {
        f.admin_sends("POST", &format!("/v1/transit/keys/{name}"), json!({})).await.data();
        let group = f.call("root", "POST", &format!("/v1/sys/groups/{name}"));
        assert_eq!(group.json(&json!({"members": []})).send().await.status, 204);
    }
    let (secrets, keys) = ("/v1/secret/metadata/app", "/v1/transit/keys");
    for (uri, query, found) in [
        (secrets, "", &["a", "b/", "c", "d"][..]),
        (secrets, "limit=2", &["a", "b/"]),
        (secrets, "limit=2&after=b/", &["c", "d"]),
        (secrets, "limit=1&after=aa", &["b/"]),
        (secrets, "after=b%2F", &["c", "d"]),
        // What is not above 0 is no limit.
        (secrets, "limit=0&after=a", &["b/", "c", "d"]),
        (secrets, "limit=-1", &["a", "b/", "c", "d"]),
        (keys, "limit=2", &["one", "three"]),
        (keys, "limit=2&after=three", &["two"]),
        ("/v1/sys/groups", "limit=1&after=one", &["three"]),
    ] {
        for (method, list) in [("LIST", ""), ("GET", "&list=true")] {
            let asked = format!("{uri}?{query}{list}");
            let answer = f.call("root", method, &asked).send().await;
            assert_eq!(answer.data()["keys"], json!(found), "{method} {uri} {query}");
        }
    }
    // After the last there is nothing, as in a folder that is empty.
    for uri in [secrets, keys] {
        assert_eq!(f.admin("LIST", &format!("{uri}?after=zz")).await.errors(404), "");
        let refused = f.admin("LIST", &format!("{uri}?limit=many")).await;
        assert!(refused.errors(400).contains("limit must be a whole number"), "{refused:?}");
        let refused = f.admin("LIST", &format!("{uri}?after=%ff")).await;
        assert!(refused.errors(400).contains("not UTF-8"), "{refused:?}");
    }
}

#[tokio::test]
async fn metadata_can_be_written_before_data() {
    let f = Fixture::new();
    let settings = json!({
        "custom_metadata": {"managed-by": "external-secrets"}, "max_versions": 3,
        "cas_required": true, "delete_version_after": "3h25m19s",
    });
    assert_eq!(f.admin_sends("POST", URI, settings).await.status, 204);
    assert_eq!(f.admin("GET", "/v1/secret/data/app/db").await.errors(404), "");
    let data = f.admin("GET", URI).await.data();
    assert_eq!(data["current_version"], json!(0));
    assert_eq!(data["versions"], json!({}));
    assert_eq!(data["custom_metadata"], json!({"managed-by": "external-secrets"}));
    assert_eq!(data["delete_version_after"], "3h25m19s");
    let required = f.admin_sends("POST", "/v1/secret/data/app/db", json!({"data": {}})).await;
    assert_eq!(required.errors(400), "check-and-set parameter required for this call");
    let body = json!({"data": {}, "options": {"cas": 0}});
    let written = f.admin_sends("POST", "/v1/secret/data/app/db", body).await.data();
    assert_eq!(written["custom_metadata"], json!({"managed-by": "external-secrets"}));
}

#[tokio::test]
async fn a_write_changes_what_it_names_and_replaces_the_notes() {
    let f = Fixture::new();
    let first = json!({"max_versions": "5", "custom_metadata": {"a": "1", "b": "2"}});
    assert_eq!(f.admin_sends("POST", URI, first).await.status, 204);
    f.admin_sends("PUT", URI, json!({"cas_required": true, "custom_metadata": {"c": "3"}})).await;
    let data = f.admin("GET", URI).await.data();
    assert_eq!((&data["max_versions"], &data["cas_required"]), (&json!(5), &json!(true)));
    assert_eq!(data["custom_metadata"], json!({"c": "3"}));
}

#[tokio::test]
async fn a_patch_merges_and_null_takes_away() {
    let f = Fixture::new();
    let patch = |body| f.call("admin", "PATCH", URI).merge_patch(&body).send();
    assert_eq!(patch(json!({"cas_required": true})).await.errors(404), "");
    let first = json!({
        "max_versions": 5, "cas_required": true, "delete_version_after": 60,
        "custom_metadata": {"a": "1", "b": "2"},
    });
    f.admin_sends("POST", URI, first).await;
    assert_eq!(patch(json!({"custom_metadata": {"a": null, "c": "3"}})).await.status, 204);
    let data = f.admin("GET", URI).await.data();
    assert_eq!(data["custom_metadata"], json!({"b": "2", "c": "3"}));
    assert_eq!(data["delete_version_after"], "1m0s");
    let clear = json!({
        "max_versions": null, "cas_required": null, "delete_version_after": null,
        "custom_metadata": null,
    });
    assert_eq!(patch(clear).await.status, 204);
    let data = f.admin("GET", URI).await.data();
    assert_eq!((&data["max_versions"], &data["cas_required"]), (&json!(0), &json!(false)));
    assert_eq!(data["delete_version_after"], "0s");
    assert_eq!(data["custom_metadata"], json!(null));
    f.admin_sends("PATCH", URI, json!({})).await.errors(415);
}

#[tokio::test]
async fn settings_out_of_range_are_400_and_change_nothing() {
    let f = Fixture::new();
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!("x"))).collect();
    for bad in [
        json!({"max_versions": -1}),
        json!({"max_versions": 1001}),
        json!({"max_versions": 4_294_967_296_u64}),
        json!({"cas_required": "yes"}),
        json!({"delete_version_after": "-1s"}),
        json!({"delete_version_after": "soon"}),
        json!({"delete_version_after": "900000h"}),
        json!({"custom_metadata": {"k": [1]}}),
        json!({"custom_metadata": ["hunter2"]}),
        json!({"custom_metadata": many}),
        json!({"custom_metadata": {"k".repeat(129): "x"}}),
        json!({"custom_metadata": {"k": "v".repeat(513)}}),
    ] {
        let answer = f.admin_sends("POST", URI, bad).await;
        answer.errors(400);
        assert!(!answer.text.contains("hunter2"));
    }
    assert_eq!(f.admin("GET", URI).await.status, 404);
}

#[tokio::test]
async fn delete_removes_everything() {
    let f = Fixture::new();
    f.put("app/db", json!({"n": 1})).await;
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
    assert_eq!(f.admin("DELETE", URI).await.status, 204);
    assert_eq!(f.admin("GET", URI).await.status, 404);
    assert_eq!(f.admin("GET", "/v1/secret/data/app/db?version=1").await.errors(404), "");
}

#[tokio::test]
async fn list_is_a_method_and_a_query_parameter() {
    let f = Fixture::new();
    for path in ["app/db", "app/db/x", "app/web", "top"] {
        f.put(path, json!({})).await;
    }
    for (folder, keys) in [
        ("/v1/secret/metadata", json!(["app/", "top"])),
        ("/v1/secret/metadata/", json!(["app/", "top"])),
        ("/v1/secret/metadata/app", json!(["db", "db/", "web"])),
        ("/v1/secret/metadata/app/", json!(["db", "db/", "web"])),
    ] {
        assert_eq!(f.admin("LIST", folder).await.data()["keys"], keys, "{folder}");
        for query in ["list=true", "list=1", "list"] {
            let answer = f.admin("GET", &format!("{folder}?{query}")).await;
            assert_eq!(answer.data()["keys"], keys, "{folder}?{query}");
        }
    }
    assert_eq!(f.admin("LIST", "/v1/secret/metadata/none").await.errors(404), "");
    f.admin("GET", "/v1/secret/metadata/app/?list=false").await.errors(400);
}

#[tokio::test]
async fn a_rule_for_what_is_below_a_folder_covers_listing_it() {
    let f = Fixture::new();
    f.put("app/db", json!({})).await;
    let app = |uri| f.call("app", "LIST", uri).send();
    assert_eq!(app("/v1/secret/metadata/app").await.data()["keys"], json!(["db"]));
    app("/v1/secret/metadata/").await.errors(403);
    app("/v1/secret/metadata/ap").await.errors(403);
    f.call("app", "GET", URI).send().await.errors(403);
}
