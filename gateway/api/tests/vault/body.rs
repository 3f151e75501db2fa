use chancery_api::BodyError;
use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/data/app/db";
const LIMIT: usize = 1024 * 1024;

/// A body of exactly this many bytes.
fn body_of(length: usize) -> String {
    let around = r#"{"data":{"a":""}}"#.len();
    format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(length - around))
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_413_in_the_form_of_an_error() {
    let f = Fixture::new();
    let largest = f.call("admin", "POST", URI).body(body_of(LIMIT)).send().await;
    assert_eq!(largest.status, 200);
    let too_large = f.call("admin", "POST", URI).body(body_of(LIMIT + 1)).send().await;
    assert_eq!(too_large.errors(413), "the request body is larger than 1048576 bytes");
    let announced = (LIMIT + 1).to_string();
    let announced = f.call("admin", "POST", URI).header("content-length", &announced);
    announced.send().await.errors(413);
    let login = f.call("admin", "POST", "/v1/auth/cert/login").body(body_of(LIMIT + 1));
    login.send().await.errors(413);
}

#[tokio::test]
async fn nobody_s_body_is_not_even_read() {
    let f = Fixture::new();
    f.call("", "POST", URI).body(body_of(LIMIT + 1)).send().await.errors(403);
}

/// The listener breaks off bodies that are too slow or find no room.
#[tokio::test]
async fn a_body_that_was_broken_off_is_told_so() {
    let f = Fixture::new();
    for (error, status) in [(BodyError::TooSlow, 408), (BodyError::NoRoom, 503)] {
        let broken = f.call("admin", "POST", URI).broken_off(error).send().await;
        assert_eq!(broken.errors(status), error.to_string());
    }
}

#[tokio::test]
async fn deep_json_is_400() {
    let f = Fixture::new();
    let deep = format!(r#"{{"data":{{"a":{}}}}}"#, "[".repeat(1000) + &"]".repeat(1000));
    for body in [deep, r#"{"data":"#.repeat(100_000), "[".repeat(1_000_000)] {
        let answer = f.call("admin", "POST", URI).body(body).send().await;
        assert_eq!(answer.errors(400), "the JSON is nested too deeply");
    }
    assert_eq!(f.admin("GET", URI).await.status, 404);
}

#[tokio::test]
async fn broken_json_is_400_and_is_not_repeated() {
    let f = Fixture::new();
    for body in [
        r#"{"data":{"password":"hunter2"}"#,
        r#"{"data":{"password":hunter2}}"#,
        r#"{"data":{"password":"hunter2","password":"hunter2"}}"#,
        r#""hunter2""#,
        r#"["hunter2"]"#,
        "password=hunter2",
        "{\"data\":{\"password\":\"hunter2\u{0}\"}}",
    ] {
        let answer = f.call("admin", "POST", URI).body(body).send().await;
        answer.errors(400);
        assert!(!answer.text.contains("hunter2"), "{answer:?}");
    }
    let not_utf8 = f.call("admin", "POST", URI).body(b"{\"data\":{\"a\":\"\xff\"}}".to_vec());
    not_utf8.send().await.errors(400);
}

#[tokio::test]
async fn the_content_type_of_a_write_does_not_matter() {
    let f = Fixture::new();
    for content_type in ["application/x-www-form-urlencoded", "text/plain", ""] {
        let call = f.call("admin", "POST", URI).header("content-type", content_type);
        let answer = call.body(json!({"data": {"n": 1}}).to_string()).send().await;
        assert_eq!(answer.status, 200, "{content_type}");
    }
}

#[tokio::test]
async fn values_are_not_in_the_audit_log() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    f.admin("GET", URI).await;
    let patch = json!({"data": {"password": "hunter2-new"}});
    f.call("admin", "PATCH", URI).merge_patch(&patch).send().await;
    let log = String::from_utf8(f.sink.bytes()).unwrap();
    assert_eq!(f.sink.lines().len(), 3);
    assert!(!log.contains("hunter2") && !log.contains("password"), "{log}");
}
