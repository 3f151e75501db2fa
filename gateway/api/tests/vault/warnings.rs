//! What a request says that nobody reads is told, as Vault tells it.

use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture};

fn warnings(answer: &Answer) -> Value {
    answer.json()["warnings"].clone()
}

#[tokio::test]
async fn parameters_that_nobody_knows_are_named_in_writes_of_every_kind() {
    let f = Fixture::new();
    let token = f.login("app").await;
    for (method, path, mut known, status) in [
        ("POST", "secret/data/app/db", json!({"data": {"colour": 1}, "options": {}}), 200),
        ("POST", "secret/metadata/app/db", json!({"max_versions": 3}), 204),
        ("POST", "secret/delete/app/db", json!({"versions": [1]}), 204),
        ("POST", "secret/config", json!({"max_versions": 30}), 204),
        ("POST", "transit/keys/app", json!({"type": "aes256-gcm96"}), 200),
        ("POST", "transit/encrypt/app", json!({"plaintext": "YQ==", "name": "app"}), 200),
        (
            "POST",
            "transit/encrypt/app",
            json!({"batch_input": [{"plaintext": "YQ=="}], "plaintext": ""}),
            200,
        ),
        ("POST", "sys/groups/ops", json!({"members": []}), 204),
        ("POST", "auth/cert/login", json!({"name": ""}), 200),
        ("POST", "auth/token/renew-self", json!({"increment": "1h"}), 200),
    ] {
        let uri = format!("/v1/{path}");
        let send = async |body: &Value| {
            let call = f
                .call(if path.starts_with("sys/") { "root" } else { "admin" }, method, &uri)
                .json(body);
            let call = if path.starts_with("auth/token") {
                f.call("app", method, &uri).json(body).token(&token)
            } else {
                call
            };
            call.send().await
        };
        let answer = send(&known).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!(warnings(&answer), Value::Null, "{path}");
        }
        let members = known.as_object_mut().unwrap();
        members.insert("use_csr".to_owned(), json!(1));
        members.insert("colour".to_owned(), json!({"of": "the car"}));
        let answer = send(&known).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 204 {
            continue;
        }
        let told = "Endpoint ignored these unrecognized parameters: [colour use_csr]";
        assert_eq!(warnings(&answer), json!([told]), "{path}");
    }
}

#[tokio::test]
async fn an_action_that_takes_nothing_names_all_that_it_was_given() {
    let f = Fixture::new();
    assert_eq!(f.admin_sends("POST", "/v1/transit/keys/app", json!({})).await.status, 200);
    let given = json!({"accessor": "x", "key_version": 2});
    let answer = f.admin_sends("POST", "/v1/transit/keys/app/rotate", given).await;
    let told = "Endpoint ignored these unrecognized parameters: [accessor key_version]";
    assert_eq!(warnings(&answer), json!([told]));
}
