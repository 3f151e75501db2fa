use std::time::Duration;

use chancery_identity::NoIdentity;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn both_ways_in_work() {
    let f = Fixture::new();
    let body = json!({"data": {"password": "hunter2"}});
    let uri = "/v1/secret/data/app/db";
    assert_eq!(f.call("app", "POST", uri).json(&body).send().await.status, 200);
    let token = f.login("app").await;
    let bearer = format!("Bearer {token}");
    for answer in [
        f.call("app", "GET", uri).send().await,
        f.call("app", "GET", uri).token(&token).send().await,
        f.call("app", "GET", uri).header("authorization", &bearer).send().await,
    ] {
        assert_eq!(answer.data()["data"]["password"], "hunter2");
    }
}

#[tokio::test]
async fn without_a_certificate_there_is_nothing_not_even_with_a_token() {
    let f = Fixture::new();
    let token = f.login("app").await;
    for uri in ["/v1/secret/data/app/db", "/v1/none/data/x", "/v1/nothing", "/v1/sys/mounts"] {
        let errors = f.call("", "GET", uri).token(&token).send().await.errors(403);
        assert!(errors.contains("bound to the client certificate"), "{uri}: {errors}");
        let errors = f.call("", "GET", uri).send().await.errors(403);
        assert_eq!(errors, "permission denied, a client certificate is required", "{uri}");
    }
    let login = f.call("", "POST", "/v1/auth/cert/login").send().await.errors(403);
    assert_eq!(login, "permission denied, a client certificate is required");
}

#[tokio::test]
async fn a_bad_token_is_403_whatever_is_wrong_with_it() {
    let f = Fixture::new();
    let of_admin = f.login("admin").await;
    let uri = "/v1/secret/data/app/db";
    for token in ["root", "chs.x", "hvs.abc", of_admin.as_str(), "\u{e9}"] {
        let answer = f.call("app", "GET", uri).token(token).send().await;
        let errors = answer.errors(403);
        let why = if token == of_admin { "another client certificate" } else { "is unknown" };
        assert!(errors.contains(why), "{errors}");
        assert!(!answer.text.contains(&of_admin));
    }
    let two = f.call("app", "GET", uri).token(&of_admin).token(&of_admin).send().await;
    two.errors(400);
    let empty = f.call("app", "GET", uri).token("").send().await;
    assert_eq!(empty.status, 404, "an empty token is no token");
}

#[tokio::test]
async fn a_bad_certificate_is_403_and_says_why() {
    let f = Fixture::new();
    let uri = "/v1/secret/data/app/db";
    let certificate = f.certificate("app");
    let mut nobody = f.certificate("app");
    nobody.identity = Err(NoIdentity::Ambiguous);
    let mut revoked = f.certificate("app");
    revoked.serial = "dead".to_owned();
    let cases = [(nobody, "several names"), (revoked, "revoked")];
    for (certificate, why) in cases {
        let errors = f.call("", "GET", uri).with(certificate).send().await.errors(403);
        assert!(errors.contains(why), "{errors}");
    }
    f.clock.advance(Duration::from_hours(25));
    let errors = f.call("", "GET", uri).with(certificate).send().await.errors(403);
    assert!(errors.contains("expired"), "{errors}");
}

#[tokio::test]
async fn a_denial_has_the_policy_s_words_and_an_audit_line() {
    let f = Fixture::new();
    let errors = f.call("app", "GET", "/v1/secret/data/other").send().await.errors(403);
    assert_eq!(errors, "permission denied, no rule allows this (secrets.read on secret/other)");
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["operation"], "secrets.read");
    assert_eq!(line["resource"], "secret/other");
    assert_eq!(line["actor"]["identity"], "spiffe://test/app");
    assert_eq!(line["actor"]["address"], "192.0.2.1");
    assert_eq!(line["outcome"], json!({"result": "denied", "code": "no-rule"}));
    assert_eq!(line["decisions"][0]["binding"], "test-access");
}

#[tokio::test]
async fn a_namespace_is_echoed_and_must_be_the_caller_s_own() {
    let f = Fixture::new();
    let uri = "/v1/secret/data/app/db";
    for own in ["", "root", "default", "default/", "/"] {
        let answer = f.call("app", "GET", uri).header("x-vault-namespace", own).send().await;
        assert_eq!(answer.status, 404, "{own}");
        assert_eq!(answer.headers["x-vault-namespace"], own);
    }
    for other in ["team-b", "default/child", "DEFAULT"] {
        let answer = f.call("app", "GET", uri).header("x-vault-namespace", other).send().await;
        answer.errors(403);
    }
    let other = f.call("app", "GET", uri).header("x-vault-namespace", "team-b").send().await;
    other.errors(403);
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["outcome"]["code"], "other-tenant");
    // Anybody can send the header: it must not choose in whose log this stands.
    assert_eq!(line["tenant"], "default");
    assert_eq!(line["details"]["addressed"], "team-b");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_leave_an_operation_unrecorded() {
    let f = Fixture::new();
    f.put("app/db", json!({"n": 1})).await;
    let mut answer = f.call("admin", "DELETE", "/v1/secret/metadata/app/db").start();
    // Once is enough to be on its way to the policies, and not to be back.
    let begun = futures_util::poll!(&mut answer);
    assert!(begun.is_pending());
    drop(answer);
    let recorded = async {
        while f.sink.lines().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recorded).await.expect("it is never recorded");
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["operation"], "secrets.metadata.delete");
    assert_eq!(line["outcome"]["result"], "success");
}

#[tokio::test]
async fn who_asks_for_a_wrapped_answer_does_not_get_a_plain_one() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    let uri = "/v1/secret/data/app/db";
    for ttl in ["60", "10m", "garbage"] {
        let answer = f.call("app", "GET", uri).header("x-vault-wrap-ttl", ttl).send().await;
        answer.errors(400);
        assert!(!answer.text.contains("hunter2"));
    }
    let plain = f.call("app", "GET", uri).header("x-vault-wrap-ttl", "0").send().await;
    assert_eq!(plain.status, 200);
}

#[tokio::test]
async fn an_audit_log_that_is_full_stops_answers_and_says_nothing() {
    let f = Fixture::new();
    f.put("app/db", json!({"password": "hunter2"})).await;
    f.sink.refuse(true);
    for uri in ["/v1/secret/data/app/db", "/v1/secret/data/vault/x", "/v1/sys/mounts"] {
        let answer = f.admin("GET", uri).await;
        assert_eq!(answer.errors(500), "internal error: see the gateway's log", "{uri}");
    }
}
