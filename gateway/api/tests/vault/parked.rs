//! Requests whose bodies come late: what was good when the headers came may have ended since.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// Whatever has a body, on every kind of resource, with a method that may have one.
const WITH_BODY: [(&str, &str); 11] = [
    ("POST", "/v1/secret/data/app/db"),
    ("PUT", "/v1/secret/data/app/db"),
    ("POST", "/v1/secret/config"),
    ("POST", "/v1/secret/metadata/app/db"),
    ("POST", "/v1/secret/destroy/app/db"),
    ("POST", "/v1/transit/sign/key"),
    ("POST", "/v1/pki/revoke"),
    ("POST", "/v1/sys/groups/admins"),
    ("POST", "/v1/sys/policy-set/rollback"),
    ("POST", "/v1/auth/cert/login"),
    ("POST", "/v1/there/is/no/such/route"),
];

fn body() -> Value {
    json!({
        "data": { "n": 1 }, "versions": [1], "input": "aGVsbG8=", "serial_number": "01",
        "members": ["spiffe://test/root"], "reason": "unspecified",
    })
}

/// What was refused last, with its code.
fn last_refused(f: &Fixture) -> String {
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["operation"], "auth.authenticate", "{line}");
    assert_eq!(line["actor"]["identity"], Value::Null, "{line}");
    line["outcome"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_certificate_that_is_revoked_before_the_body_comes_does_nothing_anywhere() {
    for (method, uri) in WITH_BODY {
        let f = Fixture::new();
        let revoke = async || assert!(f.revoked.lock().unwrap().insert("1".to_owned()));
        let answer = f.call("root", method, uri).parked(&body(), revoke).await;
        let errors = answer.errors(403);
        assert!(errors.contains("revoked"), "{method} {uri}: {errors}");
        assert_eq!(last_refused(&f), "certificate-revoked", "{method} {uri}");
    }
}

#[tokio::test]
async fn a_certificate_that_ends_before_the_body_comes_does_nothing() {
    let f = Fixture::new();
    let end = async || f.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let answer = f.call("root", "POST", "/v1/secret/data/app/db").parked(&body(), end).await;
    assert!(answer.errors(403).contains("expired"), "{answer:?}");
    assert_eq!(last_refused(&f), "certificate-expired");
}

#[tokio::test]
async fn a_token_that_ends_before_the_body_comes_does_nothing() {
    let uri = "/v1/secret/data/app/db";
    let f = Fixture::new();
    let token = f.login("app").await;
    let revoke = async || {
        let gone = f.call("app", "POST", "/v1/auth/token/revoke-self").token(&token).send().await;
        assert_eq!(gone.status, 204, "{gone:?}");
    };
    let parked = f.call("app", "POST", uri).token(&token);
    let errors = parked.parked(&body(), revoke).await.errors(403);
    assert!(errors.contains("token"), "{errors}");

    let token = f.login("app").await;
    let expire = async || f.clock.advance(Duration::from_hours(1));
    let parked = f.call("app", "POST", uri).token(&token);
    let errors = parked.parked(&body(), expire).await.errors(403);
    assert!(errors.contains("token"), "{errors}");
    assert_eq!(f.admin("GET", uri).await.status, 404, "nothing was written");
}

#[tokio::test]
async fn a_gateway_that_is_sealed_before_the_body_comes_does_nothing() {
    use chancery_api::vault::Condition;
    let f = Fixture::new();
    let seal = async || f.condition.send(Condition::Sealed).unwrap();
    let answer = f.call("root", "POST", "/v1/secret/data/app/db").parked(&body(), seal).await;
    answer.errors(503);
}

#[tokio::test]
async fn a_late_body_of_somebody_who_is_still_good_is_taken() {
    let f = Fixture::new();
    let wait = async || f.clock.advance(Duration::from_mins(20));
    let answer = f.call("root", "POST", "/v1/secret/data/app/db").parked(&body(), wait).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
