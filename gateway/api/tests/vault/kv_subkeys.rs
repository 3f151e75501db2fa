use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/subkeys/app/db";

#[tokio::test]
async fn subkeys_are_the_names_with_null_for_every_value() {
    let f = Fixture::new();
    f.put("app/db", json!({"user": "x", "nested": {"password": "hunter2", "list": [1]}})).await;
    let whole = f.admin("GET", URI).await;
    assert_eq!(
        whole.data()["subkeys"],
        json!({"user": null, "nested": {"password": null, "list": null}})
    );
    assert_eq!(whole.data()["metadata"]["version"], json!(1));
    assert!(!whole.text.contains("hunter2"), "{whole:?}");
    let top = json!({"user": null, "nested": null});
    assert_eq!(f.admin("GET", &format!("{URI}?depth=1")).await.data()["subkeys"], top);
    f.put("app/db", json!({})).await;
    assert_eq!(f.admin("GET", URI).await.data()["subkeys"], json!({}));
    assert_eq!(f.admin("GET", &format!("{URI}?version=1&depth=1")).await.data()["subkeys"], top);
    for bad in ["depth=x", "depth=-1", "version=x"] {
        f.admin("GET", &format!("{URI}?{bad}")).await.errors(400);
    }
    for method in ["POST", "LIST", "DELETE"] {
        f.admin(method, URI).await.errors(405);
    }
}

#[tokio::test]
async fn subkeys_of_what_is_gone_are_404_and_say_so() {
    let f = Fixture::new();
    assert_eq!(f.admin("GET", URI).await.errors(404), "");
    f.put("app/db", json!({"a": 1})).await;
    assert_eq!(f.admin("GET", &format!("{URI}?version=2")).await.errors(404), "");
    f.admin_sends("POST", "/v1/secret/delete/app/db", json!({"versions": [1]})).await;
    let gone = f.admin("GET", URI).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.json()["data"]["subkeys"], json!(null));
    assert_eq!(gone.json()["data"]["metadata"]["deletion_time"], "2030-01-01T00:00:00Z");
}

#[tokio::test]
async fn subkeys_are_an_operation_of_their_own_for_policies() {
    let f = Fixture::new();
    f.put("app/db", json!({"a": 1})).await;
    // The application may read values, which is another operation.
    f.call("app", "GET", URI).send().await.errors(403);
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(
        (&line["operation"], &line["resource"]),
        (&json!("secrets.subkeys.read"), &json!("secret/app/db"))
    );
    assert_eq!(f.admin("GET", URI).await.status, 200);
}
