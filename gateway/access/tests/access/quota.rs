//! How many tokens one identity may have at once.

use std::time::Duration;

use chancery_access::{AccessError, Login, Role, TokenLimits};
use chancery_identity::RequestContext;
use chancery_records::Fence;

use crate::fixture::Fixture;

fn three() -> Fixture {
    Fixture::with_limits(TokenLimits { per_identity: Some(3), ..TokenLimits::default() })
}

async fn login(f: &Fixture, context: &RequestContext) -> Result<Login, AccessError> {
    f.access.login_with_certificate(context, &Role::default_role()).await
}

fn is_over(result: &Result<Login, AccessError>) -> bool {
    matches!(result, Err(AccessError::TooManyTokens { most: 3 }))
}

#[tokio::test]
async fn an_identity_has_a_number_of_tokens_at_most_and_those_that_ended_do_not_count() {
    let f = three();
    let (app, admin) = (f.by("app"), f.by("admin"));
    let first = login(&f, &app).await.unwrap();
    f.clock.advance(Duration::from_mins(30));
    for _ in 0..2 {
        login(&f, &app).await.unwrap();
    }
    let before = f.records().await;
    assert!(is_over(&login(&f, &app).await));
    let line = f.last_audited();
    assert_eq!(
        (&line["operation"], &line["outcome"]["result"]),
        (&"auth.login".into(), &"denied".into())
    );
    assert_eq!(line["outcome"]["code"], "too-many-tokens");
    assert_eq!(f.records().await, before, "it leaves nothing behind");
    // The limit does not affect others.
    login(&f, &admin).await.unwrap();

    // A renewal moves the end of one token, and does not count as another one.
    let caller = f.caller(&app, first.token.expose()).await;
    let renewed = f.access.renew_self(&app, &caller, None).await.unwrap();
    assert!(renewed.expires > first.info.expires);
    f.clock.advance(Duration::from_mins(45));
    assert!(is_over(&login(&f, &app).await), "all three go on");

    // A client that gives up a token may have another one at once.
    let caller = f.caller(&app, first.token.expose()).await;
    f.access.revoke_self(&app, &caller).await.unwrap();
    login(&f, &app).await.unwrap();
    assert!(is_over(&login(&f, &app).await));

    // Two have ended; their records are still there.
    f.clock.advance(Duration::from_mins(20));
    for _ in 0..2 {
        login(&f, &app).await.unwrap();
    }
    assert!(is_over(&login(&f, &app).await));
    f.access.sweep_expired_tokens(&Fence::none()).await.unwrap();
    let pointers = f.store.keys(b"default/access/token-of/", None, 100).await.unwrap();
    assert_eq!(pointers.len(), 3, "what led to those that ended is gone");
}

#[tokio::test]
async fn tokens_that_a_restore_ended_do_not_count() {
    let f = three();
    let app = f.by("app");
    for _ in 0..3 {
        login(&f, &app).await.unwrap();
    }
    assert!(is_over(&login(&f, &app).await));
    f.clock.advance(Duration::from_secs(5));
    let f = f.restored();
    for _ in 0..3 {
        f.clock.advance(Duration::from_secs(5));
        login(&f, &app).await.unwrap();
    }
    assert!(is_over(&login(&f, &app).await), "those from after it count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_at_once_do_not_exceed_it_together() {
    let f = std::sync::Arc::new(three());
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let f = f.clone();
        under_way.spawn(async move { login(&f, &f.by("app")).await.is_ok() });
    }
    let given = under_way.join_all().await.into_iter().filter(|given| *given).count();
    assert!((1..=3).contains(&given), "{given}");
    let pointers = f.store.keys(b"default/access/token-of/", None, 100).await.unwrap();
    assert_eq!(pointers.len(), given);
}

#[tokio::test]
async fn a_token_that_is_ended_while_it_is_renewed_leaves_nothing_that_counts() {
    let f = three();
    let app = f.by("app");
    let given = login(&f, &app).await.unwrap();
    // Two requests of its holder: one has loaded the token before the other renews it.
    let early = f.caller(&app, given.token.expose()).await;
    let late = f.caller(&app, given.token.expose()).await;
    f.clock.advance(Duration::from_mins(10));
    f.access.renew_self(&app, &late, None).await.unwrap();
    f.access.revoke_self(&app, &early).await.unwrap();
    assert_eq!(f.records().await, 0);
}
