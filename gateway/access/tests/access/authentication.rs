use std::time::Duration;

use chancery_access::{AccessError, Role, Unauthenticated};
use chancery_gate::Refused;
use chancery_identity::{EvidenceError, NoIdentity};

use serde_json::Value;

use crate::fixture::{Fixture, nobody, of_tenant};

fn why(result: Result<chancery_access::Caller, AccessError>) -> Unauthenticated {
    match result {
        Err(AccessError::Unauthenticated(reason)) => reason,
        other => panic!("expected to be refused, got {other:?}"),
    }
}

#[tokio::test]
async fn the_certificate_alone_is_enough() {
    let f = Fixture::new();
    let caller = f.access.authenticate(&f.by("app"), None).await.unwrap();
    assert_eq!(caller.identity().to_string(), "spiffe://test/app");
    assert!(caller.token().is_none());
}

#[tokio::test]
async fn nobody_passes_without_a_certificate() {
    let f = Fixture::new();
    let token = f.login(&f.by("app")).await.token;
    let lines = f.sink.lines().len();
    let anonymous = f.request(None);
    for (token, reason) in [
        (None, Unauthenticated::NoCertificate),
        (Some("root"), Unauthenticated::NoCertificate),
        (Some(token.expose()), Unauthenticated::TokenWithoutCertificate),
    ] {
        let refused = why(f.access.authenticate(&anonymous, token).await);
        assert_eq!(refused, reason);
    }
    let login = f.access.login_with_certificate(&anonymous, &Role::default_role()).await;
    assert!(matches!(login, Err(AccessError::Unauthenticated(Unauthenticated::NoCertificate))));
    assert_eq!(f.sink.lines().len(), lines, "nobody stands behind it");
}

#[tokio::test]
async fn a_certificate_that_expires_on_an_open_connection_is_refused() {
    let f = Fixture::new();
    let context = f.by("app");
    f.clock.advance(Duration::from_hours(24));
    f.access.authenticate(&context, None).await.unwrap();
    f.clock.advance(Duration::from_secs(1));
    let refused = why(f.access.authenticate(&context, None).await);
    assert_eq!(refused, Unauthenticated::Certificate(EvidenceError::Expired));
    let line = f.last_audited();
    assert_eq!(line["operation"], "auth.authenticate");
    assert_eq!(line["outcome"]["code"], "certificate-expired");
    assert_eq!(line["actor"]["identity"], Value::Null, "{line}");
    let shown = context.evidence.as_ref().unwrap();
    let refused = &line["details"]["certificate_refused"];
    assert_eq!(refused["reason"], "certificate-expired");
    assert_eq!(refused["fingerprint"], shown.fingerprint().to_string());
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_next_request_on() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    f.revoke_certificate_of(&context);
    for token in [None, Some(token.expose())] {
        let refused = why(f.access.authenticate(&context, token).await);
        assert_eq!(refused, Unauthenticated::Certificate(EvidenceError::Revoked));
    }
    assert_eq!(f.last_audited()["outcome"]["code"], "certificate-revoked");
}

/// A client that was authenticated before a wait, such as for a body, may no longer be.
#[tokio::test]
async fn an_operation_that_begins_after_the_revocation_is_refused() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    let caller = f.caller(&context, token.expose()).await;
    f.revoke_certificate_of(&context);

    let asked = f.decide(&context, &caller, "secrets.read", "secret/app/db");
    let answer = asked.await;
    let refusal = answer.result.unwrap_err();
    assert_eq!(refusal.code(), "certificate-revoked");
    assert!(answer.decisions.is_empty(), "the policies are asked about nobody");

    let role = Role::default_role();
    let reasons = [
        f.access.lookup_self(&context, &caller).await.map(drop),
        f.access.revoke_self(&context, &caller).await,
        f.access.renew_self(&context, &caller, None).await.map(drop),
        f.access.login_with_certificate(&context, &role).await.map(drop),
    ];
    for refused in reasons {
        let revoked = Unauthenticated::Certificate(EvidenceError::Revoked);
        assert!(
            matches!(&refused, Err(AccessError::Unauthenticated(why)) if *why == revoked),
            "{refused:?}"
        );
        assert_eq!(f.last_audited()["outcome"]["code"], "certificate-revoked");
    }

    // The token is still there: nothing was done.
    let good = f.request(f.certificate("other"));
    let lost = why(f.access.authenticate(&good, Some(token.expose())).await);
    assert_eq!(lost, Unauthenticated::TokenOfAnotherCertificate);
}

#[tokio::test]
async fn an_operation_that_begins_after_the_certificate_or_token_ended_is_refused() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    let with_token = f.caller(&context, token.expose()).await;
    let alone = f.access.authenticate(&context, None).await.unwrap();
    let code = async |caller| {
        let asked = f.decide(&context, caller, "secrets.read", "secret/app/db");
        asked.await.result.err().map(|refusal| refusal.code().to_owned())
    };
    assert_eq!(code(&with_token).await, None);
    f.clock.advance(Duration::from_hours(1));
    assert_eq!(code(&with_token).await.as_deref(), Some("token-expired"));
    assert_eq!(code(&alone).await, None);
    f.clock.advance(Duration::from_hours(24));
    assert_eq!(code(&alone).await.as_deref(), Some("certificate-expired"));
}

#[tokio::test]
async fn a_certificate_without_a_usable_identity_is_nobody() {
    let f = Fixture::new();
    let context = f.request(nobody(f.certificate("app")));
    let refused = why(f.access.authenticate(&context, None).await);
    assert_eq!(refused, Unauthenticated::NoIdentity(NoIdentity::Unrecognised));
}

#[tokio::test]
async fn a_certificate_of_another_tenant_is_refused() {
    let f = Fixture::new();
    let context = f.request(of_tenant(f.certificate("app"), "other"));
    let refused = why(f.access.authenticate(&context, None).await);
    assert_eq!(refused, Unauthenticated::OtherTenant);
}

#[tokio::test]
async fn without_an_audit_log_nothing_is_answered() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    let caller = f.caller(&context, token.expose()).await;
    f.sink.refuse(true);
    let refused = f.access.authenticate(&context, Some("chs.unknown")).await;
    assert!(matches!(refused, Err(AccessError::Gate(Refused::Unrecorded(_)))), "{refused:?}");
    let role = Role::default_role();
    let login = f.access.login_with_certificate(&context, &role).await;
    assert!(matches!(login, Err(AccessError::Gate(Refused::Unrecorded(_)))), "{login:?}");
    let looked_up = f.access.lookup_self(&context, &caller).await;
    assert!(matches!(looked_up, Err(AccessError::Gate(Refused::Unrecorded(_)))), "{looked_up:?}");
}

#[tokio::test]
async fn policies_decide_and_their_words_reach_the_audit_log() {
    let f = Fixture::new();
    let context = f.by("app");
    let caller = f.access.authenticate(&context, None).await.unwrap();
    let ask = async |resource| f.decide(&context, &caller, "secrets.read", resource).await;
    let granted = ask("secret/app/db").await;
    assert!(granted.result.is_ok());
    assert_eq!(granted.decisions[0].outcome, "allow");
    let answer = ask("secret/other").await;
    let refusal = answer.result.unwrap_err();
    assert_eq!(refusal.code(), "no-rule");
    assert_eq!(refusal.denied().unwrap().message, "no rule allows this");
    assert_eq!(refusal.told(), "no rule allows this (secrets.read on secret/other)");
    assert_eq!(answer.decisions[0].binding, "test-access");
    assert!(answer.decisions[0].digest.starts_with("sha256:"));
}
