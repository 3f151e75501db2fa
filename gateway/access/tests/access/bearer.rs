//! Bearer tokens: off unless a role gives them, bound to networks, short-lived, and no administrators.

use std::time::Duration;

use chancery_access::{AccessError, BearerRole, Login, Role};
use chancery_gate::Refused;
use chancery_identity::{
    EvidenceError, Identity, IdentityName, NoIdentity, RequestContext, TenantId,
};
use chancery_store::Commit;

use crate::fixture::{Fixture, of_tenant, seconds_between};

const INSIDE: &str = "10.1.2.3";

fn ansible() -> Role {
    "ansible".parse().unwrap()
}

fn role() -> BearerRole {
    BearerRole {
        tenant: TenantId::default_tenant(),
        role: ansible(),
        networks: vec!["10.1.0.0/16".parse().unwrap()],
        ttl: Duration::from_mins(15),
        max_ttl: Duration::from_hours(1),
    }
}

fn with_bearer_tokens() -> Fixture {
    let f = Fixture::new();
    f.access.replace_bearer_roles(vec![role()]);
    f
}

fn at(mut context: RequestContext, address: &str) -> RequestContext {
    context.address = Some(address.parse().unwrap());
    context
}

async fn login(f: &Fixture) -> Login {
    let context = at(f.by("app"), INSIDE);
    f.access.login_with_certificate(&context, &ansible()).await.unwrap()
}

async fn refused(f: &Fixture, context: &RequestContext, token: &str) -> &'static str {
    match f.access.authenticate(context, Some(token)).await {
        Err(AccessError::Unauthenticated(reason)) => reason.code(),
        other => panic!("expected to be refused, got {other:?}"),
    }
}

#[tokio::test]
async fn a_role_gives_bearer_tokens_only_if_it_may_and_policies_are_told() {
    let f = Fixture::new();
    let context = at(f.by("app"), INSIDE);
    // The rule for this role wants `token.bound` to be false, which without the setting it is not.
    let bound = f.access.login_with_certificate(&context, &ansible()).await.unwrap_err();
    assert!(matches!(bound, AccessError::Gate(Refused::Denied(_))), "{bound:?}");
    f.access.replace_bearer_roles(vec![role()]);
    let Login { token, info } = login(&f).await;
    assert!(token.expose().starts_with("chb.default."), "{}", token.expose());
    assert!(!info.is_bound());
    assert_eq!(seconds_between(info.issued, info.expires), 900);
    assert_eq!(seconds_between(info.issued, info.ceiling), 3600);
    let line = f.last_audited();
    assert_eq!(
        (&line["details"]["bound"], &line["outcome"]["result"]),
        (&false.into(), &"success".into())
    );
    // Other roles give bound ones as before.
    let bound = f.login(&context).await;
    assert!(bound.info.is_bound() && bound.token.expose().starts_with("chs."));
}

#[tokio::test]
async fn a_bearer_token_is_good_without_the_certificate_and_names_its_holder_in_the_log() {
    let f = with_bearer_tokens();
    let Login { token, info } = login(&f).await;
    let context = f.from(INSIDE);
    let caller = f.caller(&context, token.expose()).await;
    assert_eq!(caller.identity().to_string(), "spiffe://test/app");
    assert!(caller.is_bearer() && caller.fingerprint().is_none());
    let read = f.decide(&context, &caller, "secrets.read", "secret/app/db").await.result;
    assert!(read.is_ok(), "{read:?}");
    let bound_only = f.decide(&context, &caller, "secrets.list", "secret/app/db").await.result;
    assert_eq!(bound_only.unwrap_err().code(), "no-rule");
    f.access.lookup_self(&context, &caller).await.unwrap();
    let line = f.last_audited();
    assert_eq!(line["actor"]["identity"], "spiffe://test/app");
    assert_eq!(line["actor"]["address"], INSIDE);
    assert_eq!(line["actor"].get("fingerprint"), None, "no certificate was shown");
    assert_eq!(line["details"]["accessor"], info.accessor);
    assert_eq!(line["details"]["bearer"], true);
}

#[tokio::test]
async fn a_bearer_token_is_good_from_its_networks_only_and_so_is_the_login() {
    let f = with_bearer_tokens();
    let Login { token, .. } = login(&f).await;
    for outside in ["10.2.0.1", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(refused(&f, &f.from(outside), token.expose()).await, "bearer-elsewhere");
        let line = f.last_audited();
        assert_eq!(line["actor"]["identity"], "spiffe://test/app", "it is on record whose it is");
        assert_eq!(line["outcome"]["code"], "bearer-elsewhere");
        let login = f.access.login_with_certificate(&at(f.by("app"), outside), &ansible()).await;
        assert!(matches!(login, Err(AccessError::Unauthenticated(_))), "{login:?}");
    }
    assert_eq!(refused(&f, &f.request(None), token.expose()).await, "bearer-elsewhere");
    f.caller(&f.from("::ffff:10.1.2.3"), token.expose()).await;
    // Also if the configuration changes the networks.
    let elsewhere = BearerRole { networks: vec!["10.9.0.0/16".parse().unwrap()], ..role() };
    f.access.replace_bearer_roles(vec![elsewhere]);
    assert_eq!(refused(&f, &f.from(INSIDE), token.expose()).await, "bearer-elsewhere");
    assert_eq!(refused(&f, &f.from("10.9.0.1"), token.expose()).await, "bearer-elsewhere");
}

#[tokio::test]
async fn a_bearer_token_never_administers_whatever_policies_say() {
    let f = with_bearer_tokens();
    f.rules(
        r#"rules = [ { name = "all", identities = ["*"], operations = ["*"], resources = ["*"], effect = "allow" } ]"#,
    );
    let Login { token, .. } = login(&f).await;
    let context = f.from(INSIDE);
    let caller = f.caller(&context, token.expose()).await;
    let with_certificate = at(f.by("app"), INSIDE);
    let both = f.caller(&with_certificate, token.expose()).await;
    for operation in
        ["group.update", "session.revoke", "policy-set.reload", "keys.export", "approval.give"]
    {
        for (context, caller) in [(&context, &caller), (&with_certificate, &both)] {
            let refusal = f.decide(context, caller, operation, "x").await.result.unwrap_err();
            assert_eq!(refusal.code(), "bearer-token", "{operation}");
            assert!(refusal.told().contains("needs the client certificate"), "{}", refusal.told());
        }
    }
    let sessions = f.access.sessions(&context, &caller, None, None, 10).await;
    assert!(matches!(sessions, Err(AccessError::Gate(Refused::Denied(_)))), "{sessions:?}");
    assert_eq!(f.last_audited()["outcome"]["code"], "bearer-token");
    assert!(f.decide(&context, &caller, "secrets.read", "x").await.result.is_ok());
}

#[tokio::test]
async fn a_bearer_token_ends_with_its_time_its_role_and_its_certificate() {
    let f = with_bearer_tokens();
    let context = f.from(INSIDE);
    let Login { token, .. } = login(&f).await;
    let caller = f.caller(&context, token.expose()).await;
    // Renewed for no longer than the role says, and not beyond its ceiling.
    f.clock.advance(Duration::from_mins(10));
    let wish = Some(Duration::from_hours(8));
    let renewed = f.access.renew_self(&context, &caller, wish).await.unwrap();
    assert_eq!(seconds_between(f.clock.now(), renewed.expires), 900);
    f.clock.advance(Duration::from_mins(16));
    assert_eq!(refused(&f, &context, token.expose()).await, "token-expired");

    let Login { token, .. } = login(&f).await;
    let caller = f.caller(&context, token.expose()).await;
    f.access.replace_bearer_roles(vec![]);
    assert_eq!(refused(&f, &context, token.expose()).await, "unknown-token", "none are looked for");
    let read = f.decide(&context, &caller, "secrets.read", "secret/app/db").await.result;
    assert_eq!(read.unwrap_err().code(), "bearer-role-gone", "in mid-request too");

    f.access.replace_bearer_roles(vec![role()]);
    let with_certificate = at(f.by("app"), INSIDE);
    let login = f.access.login_with_certificate(&with_certificate, &ansible()).await.unwrap();
    let caller = f.caller(&context, login.token.expose()).await;
    f.revoke_certificate_of(&with_certificate);
    assert_eq!(refused(&f, &context, login.token.expose()).await, "certificate-revoked");
    let read = f.decide(&context, &caller, "secrets.read", "secret/app/db").await.result;
    assert_eq!(read.unwrap_err().code(), "certificate-revoked");
}

#[tokio::test]
async fn a_bearer_token_counts_only_while_its_certificate_would() {
    let f = with_bearer_tokens();
    let context = f.from(INSIDE);
    let Login { token, info } = login(&f).await;
    let caller = f.caller(&context, token.expose()).await;
    let own = info.identity.clone();
    let elsewhere = Identity { tenant: "acme".parse().unwrap(), ..own.clone() };
    let other = Identity { name: IdentityName::Pinned("other".to_owned()), ..own.clone() };
    for (what, code) in [
        (Err(EvidenceError::Untrusted), "certificate-untrusted"),
        (Err(EvidenceError::OfAnotherTenant), "certificate-of-another-tenant"),
        (Ok(Some(Err(NoIdentity::Unrecognised))), "no-identity"),
        (Ok(Some(Err(NoIdentity::NotVouchedFor))), "no-identity"),
        (Ok(Some(Ok(elsewhere))), "other-tenant"),
        (Ok(Some(Ok(other))), "certificate-untrusted"),
    ] {
        f.believe(what.clone());
        assert_eq!(refused(&f, &context, token.expose()).await, code, "{what:?}");
        assert_eq!(f.last_audited()["outcome"]["code"], code);
        let with_certificate = at(f.by("app"), INSIDE);
        assert_eq!(refused(&f, &with_certificate, token.expose()).await, code, "{what:?}");
        if what.is_err() {
            let renewed = f.access.renew_self(&context, &caller, None).await;
            assert!(matches!(renewed, Err(AccessError::Unauthenticated(_))), "{renewed:?}");
        }
    }
    // It is judged, not remembered: with the CA, the token is back.
    f.believe(Ok(None));
    f.caller(&context, token.expose()).await;
    // What a build wrote that did not keep the chain counts no more.
    let records = f.store.scan(b"default/access/token/", None, 10).await.unwrap();
    let [record] = &records[..] else { panic!("one token") };
    let mut old: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
    assert!(old["bearer"].as_object_mut().unwrap().remove("chain").is_some());
    let old = serde_json::to_vec(&old).unwrap();
    f.store.commit(Commit::new().put(record.key.clone(), old)).await.unwrap();
    assert_eq!(refused(&f, &context, token.expose()).await, "certificate-untrusted");
}

#[tokio::test]
async fn a_bearer_token_is_of_its_tenant_and_of_its_identity() {
    let f = with_bearer_tokens();
    let Login { token, .. } = login(&f).await;
    // Renamed to another tenant, it is no token.
    let renamed = token.expose().replace("chb.default.", "chb.acme.");
    assert_eq!(refused(&f, &f.from(INSIDE), &renamed).await, "unknown-token");
    // With a certificate of another tenant or identity, it is worth nothing.
    let other_tenant = at(f.request(of_tenant(f.certificate("app"), "acme")), INSIDE);
    let mut other_tenant = other_tenant;
    other_tenant.tenant = "acme".parse().unwrap();
    assert_eq!(refused(&f, &other_tenant, token.expose()).await, "unknown-token");
    let other = at(f.by("admin"), INSIDE);
    assert_eq!(refused(&f, &other, token.expose()).await, "token-of-another-certificate");
    // A bound token without its certificate is told what to do, and nobody's lines fill the log.
    let bound = f.login(&at(f.by("app"), INSIDE)).await;
    let lines = f.sink.lines().len();
    assert_eq!(
        refused(&f, &f.from(INSIDE), bound.token.expose()).await,
        "token-without-certificate"
    );
    assert_eq!(refused(&f, &f.from(INSIDE), "chb.default.AAAA").await, "no-certificate");
    assert_eq!(f.sink.lines().len(), lines);
}
