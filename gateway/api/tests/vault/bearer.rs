//! A client that shows its certificate only when it logs in, as Ansible's module does.

use std::time::Duration;

use chancery_access::BearerRole;
use serde_json::json;

use crate::fixture::Fixture;

const URI: &str = "/v1/secret/data/app/db";

fn with_bearer_tokens() -> Fixture {
    let f = Fixture::new();
    f.access.replace_bearer_roles(vec![BearerRole {
        tenant: "default".parse().unwrap(),
        role: "ansible".parse().unwrap(),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        ttl: Duration::from_mins(15),
        max_ttl: Duration::from_hours(1),
    }]);
    f
}

async fn login(f: &Fixture, role: &str) -> String {
    let login = f.call("app", "POST", "/v1/auth/cert/login").json(&json!({"name": role}));
    let answer = login.send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["auth"]["client_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_certificate_at_login_and_the_token_alone_from_then_on() {
    let f = with_bearer_tokens();
    let token = login(&f, "ansible").await;
    let body = json!({"data": {"password": "hunter2"}});
    let written = f.call("", "POST", URI).token(&token).json(&body).send().await;
    assert_eq!(written.status, 200, "{written:?}");
    let read = f.call("", "GET", URI).token(&token).send().await;
    assert_eq!(read.data()["data"]["password"], "hunter2");
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["actor"]["identity"], "spiffe://test/app", "{line}");
    assert_eq!(line["details"]["bearer"], true);
    let own = f.call("", "GET", "/v1/auth/token/lookup-self").token(&token).send().await.data();
    assert_eq!(own["bound_cidrs"], json!(["192.0.2.0/24"]));
    assert_eq!((&own["ttl"], &own["explicit_max_ttl"]), (&json!(900), &json!(3600)));
    let renewed = f.call("", "POST", "/v1/auth/token/renew-self").token(&token).send().await;
    assert_eq!(renewed.json()["auth"]["client_token"], token);
    let revoked = f.call("", "POST", "/v1/auth/token/revoke-self").token(&token).send().await;
    assert_eq!(revoked.status, 204);
    f.call("", "GET", URI).token(&token).send().await.errors(403);
}

#[tokio::test]
async fn without_such_a_role_the_error_says_what_to_do() {
    let f = Fixture::new();
    let token = f.login("app").await;
    let errors = f.call("", "GET", URI).token(&token).send().await.errors(403);
    for said in ["present the certificate with every request", "VAULT_CLIENT_KEY", "bearer tokens"]
    {
        assert!(errors.contains(said), "{errors}");
    }
    // A bound token does not become another by the setting.
    let f = with_bearer_tokens();
    let token = f.login("app").await;
    f.call("", "GET", URI).token(&token).send().await.errors(403);
}

#[tokio::test]
async fn a_bearer_token_does_not_administer_and_the_body_of_a_stranger_is_not_read() {
    let f = with_bearer_tokens();
    let token = login(&f, "ansible").await;
    for (method, uri) in [
        ("LIST", "/v1/sys/groups"),
        ("POST", "/v1/sys/policy-set/reload"),
        ("LIST", "/v1/auth/token/accessors"),
        ("POST", "/v1/transit/keys/k"),
        ("DELETE", "/v1/secret/metadata/app/db"),
        ("POST", "/v1/secret/config"),
    ] {
        let errors = f.call("", method, uri).token(&token).send().await.errors(403);
        assert!(errors.contains("needs the client certificate"), "{method} {uri}: {errors}");
    }
    let large = "x".repeat(2 * 1024 * 1024);
    f.call("", "POST", URI).token("chb.default.AAAA").body(large).send().await.errors(403);
}
