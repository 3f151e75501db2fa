//! Groups and data sets, which policies look up.

use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_group_is_written_read_listed_and_taken_away() {
    let f = Fixture::new();
    let root = |method: &str, uri: &str| f.call("root", method, uri);
    let members = json!({ "members": ["spiffe://test/b", "spiffe://test/a", "spiffe://test/a"] });
    assert_eq!(root("GET", "/v1/sys/groups/ops").send().await.status, 404);
    let written = root("POST", "/v1/sys/groups/ops").json(&members).send().await;
    assert_eq!(written.status, 204, "{}", written.text);
    let read = root("GET", "/v1/sys/groups/ops").send().await.json();
    assert_eq!(read["data"]["members"], json!(["spiffe://test/a", "spiffe://test/b"]));
    for list in [root("LIST", "/v1/sys/groups"), root("GET", "/v1/sys/groups?list=true")] {
        assert_eq!(list.send().await.json()["data"]["keys"], json!(["ops"]));
    }
    assert_eq!(root("DELETE", "/v1/sys/groups/ops").send().await.status, 204);
    assert_eq!(root("GET", "/v1/sys/groups/ops").send().await.status, 404);
    assert_eq!(root("DELETE", "/v1/sys/groups/ops").send().await.status, 204);
}

#[tokio::test]
async fn a_data_set_is_replaced_as_a_whole() {
    let f = Fixture::new();
    let root = |method: &str| f.call("root", method, "/v1/sys/data-sets/names");
    for entries in [json!({ "a": "1", "b": "2" }), json!({ "c": "" })] {
        let body = json!({ "entries": entries });
        assert_eq!(root("PUT").json(&body).send().await.status, 204);
        assert_eq!(root("GET").send().await.json()["data"]["entries"], entries);
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_with_what_is_expected() {
    let f = Fixture::new();
    let send = async |uri: &str, body: serde_json::Value| {
        f.call("root", "POST", uri).json(&body).send().await.errors(400)
    };
    let one = json!({ "members": ["a"] });
    assert!(send("/v1/sys/groups/OPS", one.clone()).await.contains("a-z"));
    assert!(send("/v1/sys/groups/a.b", one).await.contains("a-z"));
    assert!(send("/v1/sys/groups/a", json!({ "members": "a" })).await.contains("members must be"));
    assert!(send("/v1/sys/groups/a", json!({})).await.contains("members is missing"));
    assert!(send("/v1/sys/groups/a", json!({ "members": [""] })).await.contains("1 to 4,096"));
    let many: Vec<_> = (0..10_001).map(|number| number.to_string()).collect();
    assert!(send("/v1/sys/groups/a", json!({ "members": many })).await.contains("10,000"));
    let number = json!({ "entries": { "a": 1 } });
    assert!(send("/v1/sys/data-sets/a", number).await.contains("entries must be"));
    let empty = json!({ "entries": { "": "x" } });
    assert!(send("/v1/sys/data-sets/a", empty).await.contains("1 to 4,096"));
    f.call("root", "PATCH", "/v1/sys/groups/a").send().await.errors(405);
    f.call("root", "POST", "/v1/sys/groups").send().await.errors(405);
}

#[tokio::test]
async fn nobody_gets_at_them_without_policy_and_each_attempt_is_on_record() {
    let f = Fixture::new();
    let one = json!({ "members": ["spiffe://test/app"] });
    for (method, uri) in [
        ("GET", "/v1/sys/groups/ops"),
        ("LIST", "/v1/sys/groups"),
        ("DELETE", "/v1/sys/groups/ops"),
        ("POST", "/v1/sys/groups/ops"),
        ("GET", "/v1/sys/data-sets/names"),
        ("LIST", "/v1/sys/data-sets"),
    ] {
        f.call("app", method, uri).json(&one).send().await.errors(403);
    }
    f.call("", "GET", "/v1/sys/groups/ops").send().await.errors(403);
    let lines: Vec<_> = f.sink.lines().iter().map(ToString::to_string).collect();
    let lines = lines.join("\n");
    for operation in [
        "group.read",
        "group.list",
        "group.delete",
        "group.update",
        "data-set.read",
        "data-set.list",
    ] {
        assert!(lines.contains(&format!("\"{operation}\"")), "{operation} in {lines}");
    }
}
