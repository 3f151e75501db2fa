use std::time::Duration;

use chancery_access::{AccessError, Login, Role, TokenLimits, Unauthenticated};
use chancery_gate::Refused;
use chancery_identity::Fingerprint;
use chancery_records::Fence;
use chancery_store::{Commit, Key};

use crate::fixture::{Fixture, of_tenant, seconds_between};

const HOUR: Duration = Duration::from_hours(1);

/// The reason for which a token is refused, by its code.
async fn refused(
    f: &Fixture,
    context: &chancery_identity::RequestContext,
    token: &str,
) -> &'static str {
    match f.access.authenticate(context, Some(token)).await {
        Err(AccessError::Unauthenticated(reason)) => reason.code(),
        other => panic!("expected to be refused, got {other:?}"),
    }
}

#[tokio::test]
async fn a_login_gives_a_token_that_identifies_its_certificate() {
    let f = Fixture::new();
    let context = f.by("app");
    let Login { token, info } = f.login(&context).await;
    assert!(token.expose().starts_with("chs."));
    assert_eq!(seconds_between(info.issued, info.expires), 3600);
    let caller = f.caller(&context, token.expose()).await;
    assert_eq!(caller.token(), Some(&info));
    let line = f.last_audited();
    assert_eq!(line["operation"], "auth.login");
    assert_eq!(line["resource"], "default/spiffe://test/app");
    assert_eq!(line["outcome"]["result"], "success");
    assert_eq!(line["details"]["accessor"], info.accessor);
    assert_eq!(line["decisions"][0]["outcome"], "allow");
}

#[tokio::test]
async fn tokens_from_before_a_restore_count_no_more() {
    let f = Fixture::new();
    let context = f.by("app");
    let old = f.login(&context).await;
    f.clock.advance(Duration::from_secs(5));
    let f = f.restored();
    assert_eq!(refused(&f, &context, old.token.expose()).await, "token-expired");
    f.clock.advance(Duration::from_secs(5));
    let new = f.login(&context).await;
    let caller = f.caller(&context, new.token.expose()).await;
    assert_eq!(caller.token(), Some(&new.info));
    assert_eq!(refused(&f, &context, old.token.expose()).await, "token-expired");
}

#[tokio::test]
async fn neither_store_nor_audit_log_has_the_token() {
    let f = Fixture::new();
    let context = f.by("app");
    let login = f.login(&context).await;
    let caller = f.caller(&context, login.token.expose()).await;
    f.access.lookup_self(&context, &caller).await.unwrap();
    f.access.renew_self(&context, &caller, None).await.unwrap();
    let token = login.token.expose().strip_prefix("chs.").unwrap();
    let random = &token[8..];
    for record in f.store.scan(b"", None, 100).await.unwrap() {
        let text = format!("{} {}", record.key, String::from_utf8_lossy(&record.value));
        assert!(!text.contains(random), "{text}");
    }
    assert!(!String::from_utf8(f.sink.bytes()).unwrap().contains(random));
    assert!(!format!("{login:?} {caller:?}").contains(random));
}

#[tokio::test]
async fn a_token_is_worthless_with_another_certificate() {
    let f = Fixture::new();
    let token = f.login(&f.by("app")).await.token;
    let code = refused(&f, &f.by("short"), token.expose()).await;
    assert_eq!(code, "token-of-another-certificate");
    assert_eq!(f.last_audited()["outcome"]["code"], "token-of-another-certificate");

    // Not even another certificate of the same identity will do.
    let mut renewed = f.certificate("app");
    renewed.fingerprint = Fingerprint::of_certificate(b"the next certificate");
    let code = refused(&f, &f.request(renewed), token.expose()).await;
    assert_eq!(code, "token-of-another-certificate");
}

#[tokio::test]
async fn a_token_is_unknown_to_other_tenants() {
    let f = Fixture::new();
    let token = f.login(&f.by("app")).await.token;
    let mut context = f.request(of_tenant(f.certificate("app"), "other"));
    context.tenant = "other".parse().unwrap();
    assert_eq!(refused(&f, &context, token.expose()).await, "unknown-token");
}

#[tokio::test]
async fn what_is_no_token_is_unknown() {
    let f = Fixture::new();
    let context = f.by("app");
    let good = f.login(&context).await.token;
    let mut flipped = good.expose().to_owned();
    let last = if flipped.ends_with('A') { "E" } else { "A" };
    flipped.replace_range(flipped.len() - 1.., last);
    for bad in ["root", "chs.", "hvs.CAESI", &flipped, "chs.../../x", &"x".repeat(5000)] {
        assert_eq!(refused(&f, &context, bad).await, "unknown-token", "{bad}");
    }
    assert!(!String::from_utf8(f.sink.bytes()).unwrap().contains(&flipped[5..]));
}

#[tokio::test]
async fn a_token_expires() {
    let f = Fixture::new();
    let context = f.by("app");
    let Login { token, info } = f.login(&context).await;
    f.clock.advance(Duration::from_millis(3_599_999));
    let caller = f.caller(&context, token.expose()).await;
    assert_eq!(caller.token().unwrap().ttl(f.clock.now()), Duration::from_millis(1));
    f.clock.advance(Duration::from_millis(1));
    assert_eq!(refused(&f, &context, token.expose()).await, "token-expired");
    assert_eq!(info.ttl(f.clock.now()), Duration::ZERO);
}

#[tokio::test]
async fn a_policy_shortens_a_token_and_its_longest_lifetime() {
    let f = Fixture::new();
    let context = f.by("short");
    let Login { token, info } = f.login(&context).await;
    assert_eq!(seconds_between(info.issued, info.expires), 600);
    assert_eq!(info.ceiling, info.expires);
    assert!(!info.renewable());
    f.clock.advance(Duration::from_mins(5));
    let caller = f.caller(&context, token.expose()).await;
    let renewed = f.access.renew_self(&context, &caller, Some(HOUR)).await;
    assert!(matches!(renewed, Err(AccessError::NotRenewable)), "{renewed:?}");
    assert_eq!(f.last_audited()["outcome"]["code"], "not-renewable");
}

#[tokio::test]
async fn a_token_ends_with_its_certificate() {
    let f = Fixture::new();
    let mut certificate = f.certificate("app");
    certificate.not_after = f.clock.now() + Duration::from_mins(7);
    let info = f.login(&f.request(certificate)).await.info;
    assert_eq!(seconds_between(info.issued, info.expires), 420);
    assert_eq!(info.ceiling, info.expires);
}

#[tokio::test]
async fn a_renewal_moves_the_expiry_by_what_was_asked() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    f.clock.advance(HOUR / 2);
    let caller = f.caller(&context, token.expose()).await;
    let renewed = f.access.renew_self(&context, &caller, None).await.unwrap();
    assert_eq!(seconds_between(f.clock.now(), renewed.expires), 3600);
    let two_hours = f.access.renew_self(&context, &caller, Some(HOUR * 2)).await.unwrap();
    assert_eq!(seconds_between(f.clock.now(), two_hours.expires), 7200);
    f.clock.advance(Duration::from_millis(7_199_999));
    f.caller(&context, token.expose()).await;
    f.clock.advance(Duration::from_millis(1));
    assert_eq!(refused(&f, &context, token.expose()).await, "token-expired");
}

#[tokio::test]
async fn renewing_within_a_second_of_the_maximum_does_not_make_it_live_for_ever() {
    let mut f = Fixture::new();
    let limits = TokenLimits { default_ttl: HOUR, max_ttl: HOUR * 2, per_identity: None };
    f.access = f.access.with_token_limits(limits);
    let context = f.by("app");
    let Login { token, info } = f.login(&context).await;
    f.clock.advance(HOUR / 2);
    let caller = f.caller(&context, token.expose()).await;
    let renewed = f.access.renew_self(&context, &caller, Some(HOUR * 100)).await.unwrap();
    assert_eq!((renewed.expires, renewed.renewable()), (info.ceiling, false));
    for step in [Duration::from_millis(5_399_100), Duration::from_millis(899)] {
        f.clock.advance(step);
        let caller = f.caller(&context, token.expose()).await;
        for increment in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
            let renewed = f.access.renew_self(&context, &caller, increment).await;
            assert!(matches!(renewed, Err(AccessError::NotRenewable)), "{renewed:?}");
        }
    }
    let caller = f.caller(&context, token.expose()).await;
    f.clock.advance(Duration::from_millis(1));
    let too_late = f.access.renew_self(&context, &caller, None).await;
    let expired = Unauthenticated::TokenExpired;
    assert!(
        matches!(&too_late, Err(AccessError::Unauthenticated(why)) if *why == expired),
        "{too_late:?}"
    );
    assert_eq!(refused(&f, &context, token.expose()).await, "token-expired");
}

#[tokio::test]
async fn a_renewal_asks_the_policies_again() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    f.rules(
        r#"rules = [{ name = "all-but-login", identities = ["*"], operations = ["secrets.*"], resources = ["*"], effect = "allow" }]"#,
    );
    let caller = f.caller(&context, token.expose()).await;
    let renewed = f.access.renew_self(&context, &caller, None).await;
    assert!(matches!(renewed, Err(AccessError::Gate(Refused::Denied(_)))), "{renewed:?}");
    let line = f.last_audited();
    assert_eq!(line["operation"], "auth.token.renew");
    assert_eq!(line["outcome"]["result"], "denied");
    assert_eq!(line["decisions"][0]["outcome"], "deny");
}

#[tokio::test]
async fn a_login_that_no_rule_allows_is_denied_and_explained_in_the_audit_log() {
    let f = Fixture::new();
    let other_role: Role = "operator".parse().unwrap();
    for (context, role) in [(f.by("stranger"), Role::default_role()), (f.by("app"), other_role)] {
        let login = f.access.login_with_certificate(&context, &role).await;
        assert!(matches!(login, Err(AccessError::Gate(Refused::Denied(_)))), "{login:?}");
        assert_eq!(
            f.last_audited()["outcome"],
            serde_json::json!({"result": "denied", "code": "no-rule"})
        );
    }
    assert_eq!(f.records().await, 0);
}

#[tokio::test]
async fn a_revoked_token_is_gone_at_once_even_if_it_is_being_renewed() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    let renewing = f.caller(&context, token.expose()).await;
    let revoking = f.caller(&context, token.expose()).await;
    f.access.revoke_self(&context, &revoking).await.unwrap();
    assert_eq!(refused(&f, &context, token.expose()).await, "unknown-token");
    let renewed = f.access.renew_self(&context, &renewing, None).await;
    assert!(
        matches!(renewed, Err(AccessError::Unauthenticated(Unauthenticated::UnknownToken))),
        "{renewed:?}"
    );
    assert_eq!(f.records().await, 0);
}

#[tokio::test]
async fn two_renewals_at_once_leave_one_expiry() {
    let f = Fixture::new();
    let context = f.by("app");
    let token = f.login(&context).await.token;
    f.clock.advance(Duration::from_mins(1));
    let one = f.caller(&context, token.expose()).await;
    let other = f.caller(&context, token.expose()).await;
    f.access.renew_self(&context, &one, Some(HOUR * 3)).await.unwrap();
    f.access.renew_self(&context, &other, Some(HOUR)).await.unwrap();
    assert_eq!(f.records().await, 3, "the token and what leads to it");
    let caller = f.caller(&context, token.expose()).await;
    assert_eq!(caller.token().unwrap().ttl(f.clock.now()), HOUR);
}

#[tokio::test]
async fn expired_tokens_are_swept_away_and_others_stay() {
    let f = Fixture::new();
    let context = f.by("app");
    let short = f.by("short");
    let stays = f.login(&context).await.token;
    for _ in 0..300 {
        f.login(&short).await;
    }
    assert_eq!(f.access.sweep_expired_tokens(&Fence::none()).await.unwrap(), 0);
    f.clock.advance(HOUR / 2);
    let caller = f.caller(&context, stays.expose()).await;
    f.access.renew_self(&context, &caller, Some(HOUR)).await.unwrap();
    assert_eq!(f.access.sweep_expired_tokens(&Fence::none()).await.unwrap(), 300);
    f.clock.advance(HOUR * 3 / 4);
    assert_eq!(f.access.sweep_expired_tokens(&Fence::none()).await.unwrap(), 0, "it was renewed");
    f.caller(&context, stays.expose()).await;
    assert_eq!(f.records().await, 3);
}

#[tokio::test]
async fn an_expired_token_that_is_damaged_does_not_keep_the_others() {
    let f = Fixture::new();
    f.login(&f.by("short")).await;
    let records = f.store.scan(b"", None, 100).await.unwrap();
    let tokens = records.into_iter().filter(|record| record.value.starts_with(b"{"));
    let commit = tokens.fold(Commit::new(), |commit, token| commit.put(token.key, "damaged"));
    let odd = Key::new("_/access/token-expiry/.").unwrap();
    let commit = commit.put(odd, "");
    f.store.commit(commit).await.unwrap();
    f.login(&f.by("short")).await;
    f.clock.advance(HOUR);
    assert_eq!(f.access.sweep_expired_tokens(&Fence::none()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_token_s_operations_need_a_token() {
    let f = Fixture::new();
    let context = f.by("app");
    let caller = f.access.authenticate(&context, None).await.unwrap();
    let looked_up = f.access.lookup_self(&context, &caller).await;
    assert!(matches!(looked_up, Err(AccessError::TokenNeeded)));
    let renewed = f.access.renew_self(&context, &caller, None).await;
    assert!(matches!(renewed, Err(AccessError::TokenNeeded)));
    let revoked = f.access.revoke_self(&context, &caller).await;
    assert!(matches!(revoked, Err(AccessError::TokenNeeded)));
}

/// Somebody who can write the store put them there.
#[tokio::test]
async fn what_is_no_expiry_of_a_token_is_removed_and_does_not_end_the_sweep() {
    let f = Fixture::new();
    f.login(&f.by("app")).await;
    let own = f.store.keys(b"_/access/token-expiry/", None, 10).await.unwrap();
    let mut commit = own.iter().cloned().fold(Commit::new(), Commit::delete);
    let broken = "_/access/token-expiry/0000000000000001/default/access/token/broken";
    for key in [
        "_/access/token-expiry/!00001a2",
        "_/access/token-expiry/00000000000000000000ffffffffffff/default/access/token/x",
        "_/access/token-expiry/0000000000000001/default/access/group/team",
        broken,
        "default/access/token/broken",
    ] {
        commit = commit.put(Key::new(key).unwrap(), "");
    }
    f.store.commit(commit).await.unwrap();
    // The entry of the token follows from the token.
    chancery_access::reindex(f.store.clone(), &f.by("app").tenant).await.unwrap();
    f.clock.advance(HOUR * 2);
    assert_eq!(f.access.sweep_expired_tokens(&Fence::none()).await.unwrap(), 1);
    let left = f.store.keys(b"_/access/token-expiry/", None, 10).await.unwrap();
    assert_eq!(left, [Key::new(broken).unwrap()], "the token of this one cannot be read");
}
