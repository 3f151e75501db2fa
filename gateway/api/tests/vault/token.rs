use std::time::Duration;

use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn login_answers_with_what_clients_require() {
    let f = Fixture::new();
    for method in ["POST", "PUT"] {
        let answer = f.call("app", method, "/v1/auth/cert/login").json(&json!({})).send().await;
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        assert_eq!(answer["data"], json!(null));
        let auth = &answer["auth"];
        assert!(auth["client_token"].as_str().unwrap().starts_with("chs."));
        assert!(auth["accessor"].is_string());
        assert_eq!(auth["policies"], json!(["default"]));
        assert_eq!(auth["token_policies"], json!(["default"]));
        assert_eq!(auth["metadata"]["identity"], "spiffe://test/app");
        assert_eq!(auth["metadata"]["cert_name"], "default");
        assert_eq!(auth["lease_duration"], json!(3600));
        assert_eq!(auth["renewable"], json!(true));
        assert_eq!(auth["token_type"], "service");
        assert_eq!(auth["orphan"], json!(true));
        assert!(auth["entity_id"].is_string());
    }
    f.call("app", "GET", "/v1/auth/cert/login").send().await.errors(405);
}

#[tokio::test]
async fn login_does_not_mind_the_token_that_has_expired() {
    let f = Fixture::new();
    let token = f.login("app").await;
    f.clock.advance(Duration::from_hours(2));
    f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token).send().await.errors(403);
    let login = f.call("app", "POST", "/v1/auth/cert/login").token(&token).send().await;
    assert_eq!(login.status, 200, "{login:?}");
}

#[tokio::test]
async fn login_passes_the_role_to_the_policies() {
    let f = Fixture::new();
    let login = |name| f.call("app", "POST", "/v1/auth/cert/login").json(&json!({"name": name}));
    assert_eq!(login("default").send().await.status, 200);
    assert_eq!(login("").send().await.status, 200);
    login("operator").send().await.errors(403);
    for bad in ["a/b", "../x", "a b"] {
        login(bad).send().await.errors(400);
    }
    let stranger = f.call("stranger", "POST", "/v1/auth/cert/login").send().await;
    let said =
        "permission denied, no rule allows this (auth.login on default/spiffe://test/stranger)";
    assert_eq!(stranger.errors(403), said);
}

#[tokio::test]
async fn lookup_self_has_whole_seconds_and_rfc_3339_times() {
    let f = Fixture::new();
    let token = f.login("app").await;
    f.clock.advance(Duration::from_millis(600));
    let lookup = f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token);
    let data = lookup.send().await.data();
    assert_eq!(data["id"], token);
    assert_eq!(data["type"], "service");
    assert_eq!(data["path"], "auth/cert/login");
    assert_eq!(data["ttl"], json!(3600), "rounded up");
    assert_eq!(data["creation_ttl"], json!(3600));
    assert_eq!(data["issue_time"], "2030-01-01T00:00:00Z");
    assert_eq!(data["expire_time"], "2030-01-01T01:00:00Z");
    assert_eq!(data["explicit_max_ttl"], json!(86400));
    assert_eq!(data["policies"], json!(["default"]));
    assert_eq!(data["creation_time"], json!(1_893_456_000));
    let none = f.call("app", "GET", "/v1/auth/token/lookup-self").send().await;
    none.errors(403);
}

#[tokio::test]
async fn a_token_about_to_end_does_not_look_as_if_it_never_did() {
    let f = Fixture::new();
    let token = f.login("app").await;
    f.clock.advance(Duration::from_millis(3_599_999));
    let lookup = f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token);
    assert_eq!(lookup.send().await.data()["ttl"], json!(1));
}

#[tokio::test]
async fn renew_self_takes_an_increment_in_seconds_or_as_a_text() {
    let f = Fixture::new();
    let token = f.login("app").await;
    for (increment, seconds) in [
        (json!(7200), 7200),
        (json!("2h"), 7200),
        (json!("90"), 90),
        (json!(0), 3600),
        (json!(null), 3600),
    ] {
        let body = json!({ "increment": increment });
        let renew = f.call("app", "POST", "/v1/auth/token/renew-self").token(&token).json(&body);
        let answer = renew.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["auth"]["lease_duration"], json!(seconds), "{increment}");
        assert_eq!(answer.json()["auth"]["client_token"], token);
    }
    for bad in [json!(-1), json!("soon"), json!([]), json!(true)] {
        let body = json!({ "increment": bad });
        let renew = f.call("app", "PUT", "/v1/auth/token/renew-self").token(&token).json(&body);
        renew.send().await.errors(400);
    }
}

#[tokio::test]
async fn a_403_names_its_cause_as_far_as_the_caller_may_know_it() {
    let f = Fixture::new();
    let uri = "/v1/auth/token/lookup-self";
    let token = f.login("app").await;
    let said = async |call: crate::fixture::Call<'_>| {
        let errors = call.send().await.errors(403);
        errors.strip_prefix("permission denied, ").unwrap_or(&errors).to_owned()
    };
    let unknown = f.call("app", "GET", uri).token("chs.AAAA");
    assert_eq!(said(unknown).await, "the token is unknown, or has ended: log in again");
    let revoked = f.login("app").await;
    f.call("app", "POST", "/v1/auth/token/revoke-self").token(&revoked).send().await;
    let unknown = f.call("app", "GET", uri).token(&revoked);
    assert_eq!(said(unknown).await, "the token is unknown, or has ended: log in again");
    let of_another = said(f.call("admin", "GET", uri).token(&token)).await;
    assert!(of_another.contains("bound to another client certificate"), "{of_another}");
    // The certificate at login only: what is to be done about it.
    let without = said(f.call("", "GET", uri).token(&token)).await;
    assert!(without.contains("present the certificate with every request"), "{without}");
    assert!(without.contains("VAULT_CLIENT_CERT"), "{without}");
    // Without a certificate and with no token, or none of ours: nothing but that.
    let nobody = said(f.call("", "GET", uri)).await;
    assert_eq!(nobody, "a client certificate is required");
    assert_eq!(said(f.call("", "GET", uri).token("hvs.root")).await, nobody);
    f.clock.advance(Duration::from_hours(2));
    let expired = f.call("app", "GET", uri).token(&token);
    assert_eq!(said(expired).await, "the token has expired: log in again");
    for (method, uri, asked) in [
        ("GET", "/v1/secret/data/other/db", "secrets.read on secret/other/db"),
        ("LIST", "/v1/secret/metadata/other", "secrets.list on secret/other/"),
        ("GET", "/v1/transit/keys/orders", "keys.read on transit/orders"),
        ("GET", "/v1/sys/groups", "group.list"),
    ] {
        let denied = said(f.call("app", method, uri)).await;
        assert_eq!(denied, format!("no rule allows this ({asked})"), "{method} {uri}");
    }
}

#[tokio::test]
async fn a_token_cannot_be_renewed_with_another_certificate() {
    let f = Fixture::new();
    let token = f.login("app").await;
    for resource in ["renew-self", "revoke-self", "lookup-self"] {
        let uri = format!("/v1/auth/token/{resource}");
        f.call("admin", "POST", &uri).token(&token).send().await.errors(403);
        f.call("", "POST", &uri).token(&token).send().await.errors(403);
    }
    let still = f.call("app", "GET", "/v1/auth/token/lookup-self").token(&token).send().await;
    assert_eq!(still.status, 200);
}

#[tokio::test]
async fn revoke_self_is_204_and_final() {
    let f = Fixture::new();
    let token = f.login("app").await;
    let revoke = f.call("app", "POST", "/v1/auth/token/revoke-self").token(&token);
    assert_eq!(revoke.send().await.status, 204);
    let uri = "/v1/secret/data/app/db";
    f.call("app", "GET", uri).token(&token).send().await.errors(403);
    assert_eq!(f.call("app", "GET", uri).send().await.status, 404, "the certificate still works");
}

#[tokio::test]
async fn a_login_beyond_the_quota_is_429_and_says_what_to_do() {
    let f = Fixture::new();
    for _ in 0..1000 {
        f.login("app").await;
    }
    let told = f.call("app", "POST", "/v1/auth/cert/login").send().await.errors(429);
    assert!(told.contains("1000 tokens") && told.contains("revoke-self"), "{told}");
    f.login("admin").await;
}
