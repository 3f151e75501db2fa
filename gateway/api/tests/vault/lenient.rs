//! Bodies as Vault reads them: `null`, nothing at all, and numbers, booleans and durations as texts.

use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture};

const METADATA: &str = "/v1/secret/metadata/app/db";
const DATA: &str = "/v1/secret/data/app/db";

async fn raw(f: &Fixture, method: &str, uri: &str, body: &str) -> Answer {
    f.call("admin", method, uri).body(body).send().await
}

/// The member of the secret's metadata after a write of this value.
async fn metadata_after(f: &Fixture, member: &str, value: &str) -> Option<Value> {
    let body = format!("{{\"{member}\":{value}}}");
    let status = raw(f, "POST", METADATA, &body).await.status;
    if status == 400 {
        return None;
    }
    assert_eq!(status, 204, "{body}");
    Some(f.admin("GET", METADATA).await.data()[member].clone())
}

#[tokio::test]
async fn null_and_an_empty_body_are_fine_where_nothing_is_required() {
    let f = Fixture::new();
    for (number, body) in ["", "null", " null\n", "{}", "  "].into_iter().enumerate() {
        let login = f.call("app", "POST", "/v1/auth/cert/login").body(body).send().await;
        assert_eq!(login.status, 200, "{body:?}: {login:?}");
        let token = login.json()["auth"]["client_token"].as_str().unwrap().to_owned();
        let renew = f.call("app", "POST", "/v1/auth/token/renew-self").token(&token).body(body);
        assert_eq!(renew.send().await.status, 200, "{body:?}");
        let key = format!("/v1/transit/keys/k{number}");
        for uri in [key.clone(), format!("{key}/rotate"), format!("{key}/config")] {
            let answer = raw(&f, "POST", &uri, body).await;
            assert_eq!(answer.status, 200, "{uri} {body:?}: {answer:?}");
        }
        let data_key = format!("/v1/transit/datakey/plaintext/k{number}");
        assert_eq!(raw(&f, "POST", &data_key, body).await.status, 200, "{body:?}");
        for uri in [METADATA, "/v1/secret/config"] {
            assert_eq!(raw(&f, "POST", uri, body).await.status, 204, "{uri} {body:?}");
        }
        let patch = f.call("admin", "PATCH", METADATA).header("content-type", PATCH).body(body);
        assert_eq!(patch.send().await.status, 204, "{body:?}");
        // Where something is required, it is missing.
        assert_eq!(raw(&f, "POST", DATA, body).await.errors(400), "no data provided");
        let delete = raw(&f, "POST", "/v1/secret/delete/app/db", body).await;
        assert_eq!(delete.errors(400), "No version number provided");
        let encrypt = raw(&f, "POST", "/v1/transit/encrypt/k0", body).await;
        assert_eq!(encrypt.errors(400), "plaintext is missing");
    }
    for body in ["[]", "1", "\"null\"", "true", "null null"] {
        raw(&f, "POST", "/v1/auth/cert/login", body).await.errors(400);
    }
}

const PATCH: &str = "application/merge-patch+json";

#[tokio::test]
async fn booleans_may_be_texts_and_numbers() {
    let f = Fixture::new();
    for yes in ["true", "\"true\"", "\"T\"", "\"1\"", "1"] {
        assert_eq!(metadata_after(&f, "cas_required", yes).await, Some(json!(true)), "{yes}");
        assert_eq!(metadata_after(&f, "cas_required", "\"\"").await, Some(json!(false)));
    }
    for bad in ["\"yes\"", "2", "[true]"] {
        assert_eq!(metadata_after(&f, "cas_required", bad).await, None, "{bad}");
    }
    let config = raw(&f, "POST", "/v1/secret/config", r#"{"cas_required":"1"}"#).await;
    assert_eq!(config.status, 204);
    assert_eq!(f.admin("GET", "/v1/secret/config").await.data()["cas_required"], json!(true));
    let body = r#"{"exportable":"true","deletion_allowed":"T"}"#;
    let key = raw(&f, "POST", "/v1/transit/keys/k", body).await.data();
    assert_eq!((&key["exportable"], &key["deletion_allowed"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn durations_may_be_seconds_texts_of_seconds_and_texts_with_units() {
    let f = Fixture::new();
    for day in ["86400", "\"86400\"", "\"24h\"", "\"1d\""] {
        let after = metadata_after(&f, "delete_version_after", day).await;
        assert_eq!(after, Some(json!("24h0m0s")), "{day}");
    }
    let none = metadata_after(&f, "delete_version_after", "\"\"").await;
    assert_eq!(none, Some(json!("0s")));
    for bad in ["1.5", "\"soon\"", "true", "-1", "\"-1s\""] {
        assert_eq!(metadata_after(&f, "delete_version_after", bad).await, None, "{bad}");
    }
    for period in ["\"720h\"", "2592000", "\"2592000\"", "\"30d\""] {
        let body = format!("{{\"auto_rotate_period\":{period}}}");
        raw(&f, "POST", "/v1/transit/keys/k", "").await.data();
        let key = raw(&f, "POST", "/v1/transit/keys/k/config", &body).await.data();
        assert_eq!(key["auto_rotate_period"], json!(2_592_000), "{period}");
    }
}

#[tokio::test]
async fn counts_may_be_texts() {
    let f = Fixture::new();
    for five in ["5", "\"5\""] {
        assert_eq!(metadata_after(&f, "max_versions", five).await, Some(json!(5)), "{five}");
    }
    assert_eq!(metadata_after(&f, "max_versions", "\"\"").await, Some(json!(0)));
    for bad in ["\"five\"", "5.0", "-1", "true", "\"010\""] {
        assert_eq!(metadata_after(&f, "max_versions", bad).await, None, "{bad}");
    }
    raw(&f, "POST", "/v1/transit/keys/k", "").await.data();
    raw(&f, "POST", "/v1/transit/keys/k/rotate", "").await.data();
    let body = r#"{"min_decryption_version":"2"}"#;
    let key = raw(&f, "POST", "/v1/transit/keys/k/config", body).await.data();
    assert_eq!(key["min_decryption_version"], json!(2));
    let bits = raw(&f, "POST", "/v1/transit/datakey/wrapped/k", r#"{"bits":"128"}"#).await;
    assert_eq!(bits.status, 200);
}

#[tokio::test]
async fn custom_metadata_takes_numbers_and_booleans_as_their_texts() {
    let f = Fixture::new();
    let notes = r#"{"a":1,"b":1.10,"c":true,"d":false,"e":"x","f":12345678901234567890}"#;
    let read = metadata_after(&f, "custom_metadata", notes).await;
    let expected = json!({"a":"1","b":"1.10","c":"1","d":"0","e":"x","f":"12345678901234567890"});
    assert_eq!(read, Some(expected));
    let patch = json!({"custom_metadata": {"a": 2, "b": null}});
    let patched = f.call("admin", "PATCH", METADATA).merge_patch(&patch).send().await;
    assert_eq!(patched.status, 204, "{patched:?}");
    let notes = f.admin("GET", METADATA).await.data()["custom_metadata"].clone();
    assert_eq!(notes, json!({"a":"2","c":"1","d":"0","e":"x","f":"12345678901234567890"}));
    for bad in ["{\"a\":[1]}", "{\"a\":{}}", "{\"a\":null}", "{\"a\":\"\"}", "\"a=b\"", "[]"] {
        assert_eq!(metadata_after(&f, "custom_metadata", bad).await, None, "{bad}");
    }
}

#[tokio::test]
async fn a_setting_that_is_null_goes_back_to_what_is_usual() {
    let f = Fixture::new();
    for uri in [METADATA, "/v1/secret/config"] {
        let set = json!({"cas_required": true, "max_versions": 5, "delete_version_after": "1h"});
        assert_eq!(f.admin_sends("POST", uri, set).await.status, 204);
        for body in [r#"{"cas_required":null}"#, r#"{"max_versions":null}"#] {
            assert_eq!(raw(&f, "POST", uri, body).await.status, 204, "{body}");
        }
        let data = f.admin("GET", uri).await.data();
        assert_eq!(
            (&data["cas_required"], &data["delete_version_after"]),
            (&json!(false), &json!("1h0m0s"))
        );
        assert_ne!(data["max_versions"], json!(5), "{uri}");
    }
    raw(&f, "POST", METADATA, r#"{"custom_metadata":{"a":"b"}}"#).await;
    assert_eq!(metadata_after(&f, "custom_metadata", "null").await, Some(json!(null)));
}

#[tokio::test]
async fn cas_null_is_zero_and_creates_only() {
    let f = Fixture::new();
    let with = |cas: &str| format!("{{\"data\":{{}},\"options\":{{\"cas\":{cas}}}}}");
    for (cas, status) in
        [("null", 200), ("null", 400), ("0", 400), ("\"\"", 400), ("\"1\"", 200), ("2", 200)]
    {
        let answer = raw(&f, "POST", DATA, &with(cas)).await;
        assert_eq!(answer.status, status, "{cas}: {answer:?}");
    }
    let none = raw(&f, "POST", DATA, r#"{"data":{},"options":null}"#).await;
    assert_eq!(none.status, 200);
    let bad = raw(&f, "POST", DATA, &with("\"x\"")).await;
    let said =
        "error parsing check-and-set parameter: cas must be a whole number that is not negative";
    assert_eq!(bad.errors(400), said);
}

#[tokio::test]
async fn version_numbers_come_in_lists_and_texts() {
    let f = Fixture::new();
    f.put("app/db", json!({})).await;
    for versions in ["[1]", "[\"1\"]", "\"1\"", "1", "\"1,1\""] {
        let body = format!("{{\"versions\":{versions}}}");
        for (resource, status) in [("delete", 404), ("undelete", 200)] {
            let answer = raw(&f, "POST", &format!("/v1/secret/{resource}/app/db"), &body).await;
            assert_eq!(answer.status, 204, "{versions}: {answer:?}");
            assert_eq!(f.admin("GET", DATA).await.status, status, "{resource} {versions}");
        }
    }
}
