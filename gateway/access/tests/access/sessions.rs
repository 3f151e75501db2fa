//! What administrators see of others' sessions, and how they end them.

use std::time::Duration;

use chancery_access::{AccessError, Ended, Login, MAX_SESSIONS};
use chancery_store::{Commit, Key};
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn code(result: Result<impl std::fmt::Debug, AccessError>) -> String {
    match result {
        Err(AccessError::Gate(refused)) => refused.code().to_owned(),
        Err(AccessError::NotFound) => "not-found".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn sessions_are_listed_by_tenant_and_identity_page_by_page() {
    let f = Fixture::new();
    let (context, admin) =
        (f.by("admin"), f.access.authenticate(&f.by("admin"), None).await.unwrap());
    let mut mine = vec![];
    for _ in 0..3 {
        mine.push(f.login(&f.by("app")).await.info.accessor);
        f.clock.advance(Duration::from_millis(2));
    }
    let own = f.login(&context).await.info.accessor;
    // Sessions of another tenant are not among them.
    let records = f.store.scan(b"default/access/token/", None, 10).await.unwrap();
    let key = records[0].key.to_string().replace("default/", "acme/");
    let copy = Commit::new().put(Key::new(key).unwrap(), records[0].value.clone());
    f.store.commit(copy).await.unwrap();
    let list = async |identity: Option<&str>, after: Option<&str>, limit| {
        let sessions = f.access.sessions(&context, &admin, identity, after, limit).await.unwrap();
        let found = sessions.found.into_iter().map(|info| info.accessor).collect::<Vec<_>>();
        (found, sessions.next)
    };
    let all = [mine.clone(), vec![own]].concat();
    assert_eq!(list(None, None, MAX_SESSIONS).await, (all.clone(), None));
    assert_eq!(list(Some("spiffe://test/app"), None, 10).await, (mine.clone(), None));
    assert_eq!(list(Some("spiffe://test/nobody"), None, 10).await, (vec![], None));
    let next = || Some(mine[1].clone());
    assert_eq!(list(None, None, 2).await, (mine[..2].to_vec(), next()));
    assert_eq!(list(None, Some(&mine[1]), 2).await, (all[2..].to_vec(), None));
    let app = Some("spiffe://test/app");
    assert_eq!(list(app, None, 2).await, (mine[..2].to_vec(), next()));
    assert_eq!(list(app, Some(&mine[1]), 2).await, (mine[2..].to_vec(), None));
    assert_eq!(list(app, Some(&mine[2]), 2).await, (vec![], None));
    let line = f.last_audited();
    assert_eq!(
        (&line["operation"], &line["details"]["count"]),
        (&json!("session.list"), &json!(0))
    );
    // Expired sessions are not listed, even if the record is still there.
    f.clock.advance(Duration::from_mins(61));
    assert_eq!(list(None, None, 10).await, (vec![], None));
    let bad = f.access.sessions(&context, &admin, None, Some("nope"), 10).await;
    assert_eq!(code(bad), "not-found");
}

#[tokio::test]
async fn a_session_is_seen_and_ended_by_its_accessor() {
    let f = Fixture::new();
    let (context, admin) =
        (f.by("admin"), f.access.authenticate(&f.by("admin"), None).await.unwrap());
    let Login { token, info } = f.login(&f.by("app")).await;
    let before = f.records().await;
    assert_eq!(f.access.session(&context, &admin, &info.accessor).await.unwrap(), info);
    assert_eq!(f.access.revoke_session(&context, &admin, &info.accessor).await.unwrap(), info);
    let line = f.last_audited();
    assert_eq!(line["operation"], "session.revoke");
    assert_eq!(line["resource"], "default/spiffe://test/app");
    assert_eq!(line["details"]["session"], info.accessor);
    assert_eq!(line["actor"]["identity"], "spiffe://test/admin");
    let refused = f.access.authenticate(&f.by("app"), Some(token.expose())).await;
    assert!(matches!(refused, Err(AccessError::Unauthenticated(_))), "{refused:?}");
    assert_eq!(f.records().await, before - 3, "the token and what leads to it are gone");
    for accessor in [info.accessor.as_str(), "", "nope", "0123456789ab-", "../../x"] {
        assert_eq!(code(f.access.revoke_session(&context, &admin, accessor).await), "not-found");
        assert_eq!(code(f.access.session(&context, &admin, accessor).await), "not-found");
    }
    // The certificate is still good.
    assert!(f.access.authenticate(&f.by("app"), None).await.is_ok());
}

#[tokio::test]
async fn all_sessions_of_an_identity_end_at_once() {
    let f = Fixture::new();
    let (context, admin) =
        (f.by("admin"), f.access.authenticate(&f.by("admin"), None).await.unwrap());
    for _ in 0..300 {
        f.login(&f.by("app")).await;
    }
    let own = f.login(&context).await;
    let ended = f.access.revoke_sessions_of(&context, &admin, "spiffe://test/app").await.unwrap();
    assert_eq!(ended, Ended { count: 300, more: false });
    let line = f.last_audited();
    assert_eq!(line["details"]["count"], 300);
    assert_eq!(line["details"]["accessors"].as_array().unwrap().len(), 16, "a line is bounded");
    let left = f.access.sessions(&context, &admin, None, None, 10).await.unwrap();
    assert_eq!(left.found, [own.info]);
    let none = f.access.revoke_sessions_of(&context, &admin, "spiffe://test/app").await.unwrap();
    assert_eq!(none, Ended::default());
}

#[tokio::test]
async fn policies_say_whose_sessions_and_a_refusal_does_not_tell_whose_it_is() {
    let f = Fixture::new();
    let context = f.by("helpdesk");
    let helpdesk = f.access.authenticate(&context, None).await.unwrap();
    let app = f.login(&f.by("app")).await.info;
    let admin = f.login(&f.by("admin")).await.info;
    assert!(f.access.session(&context, &helpdesk, &app.accessor).await.is_ok());
    let refused = f.access.session(&context, &helpdesk, &admin.accessor).await.unwrap_err();
    let missing = f.access.session(&context, &helpdesk, "nope").await.unwrap_err();
    assert_eq!(refused.to_string(), missing.to_string());
    assert!(!refused.to_string().contains("admin"), "{refused}");
    assert_eq!(
        code(f.access.revoke_session(&context, &helpdesk, &admin.accessor).await),
        "no-rule"
    );
    let of_admin = f.access.revoke_sessions_of(&context, &helpdesk, "spiffe://test/admin").await;
    let of_nobody = f.access.revoke_sessions_of(&context, &helpdesk, "spiffe://test/nobody").await;
    assert_eq!(of_admin.unwrap_err().to_string(), of_nobody.unwrap_err().to_string());
    let ended =
        f.access.revoke_sessions_of(&context, &helpdesk, "spiffe://test/app").await.unwrap();
    assert_eq!(ended, Ended { count: 1, more: false });
    assert_eq!(code(f.access.sessions(&context, &helpdesk, None, None, 10).await), "no-rule");
}

#[tokio::test]
async fn a_session_of_an_earlier_release_and_a_damaged_record_do_not_stand_in_the_way() {
    let f = Fixture::new();
    let (context, admin) =
        (f.by("admin"), f.access.authenticate(&f.by("admin"), None).await.unwrap());
    f.login(&f.by("app")).await;
    let records = f.store.scan(b"default/access/token/", None, 10).await.unwrap();
    let mut old: Value = serde_json::from_slice(&records[0].value).unwrap();
    old["accessor"] = "0123456789abcdef0123456789abcdef".into();
    old.as_object_mut().unwrap().remove("bearer");
    let commit = Commit::new()
        .put(records[0].key.clone(), old.to_string().into_bytes())
        .put(Key::new("default/access/token/0-damaged").unwrap(), "{");
    f.store.commit(commit).await.unwrap();
    // A session is found by its identity; to find it by its accessor would mean reading all
    // sessions.
    let accessor = "0123456789abcdef0123456789abcdef";
    assert_eq!(code(f.access.session(&context, &admin, accessor).await), "not-found");
    let all = f.access.sessions(&context, &admin, None, None, 10).await.unwrap();
    assert!(all.found[0].is_bound());
    assert_eq!(all.found.len(), 1);
    let ended = f.access.revoke_sessions_of(&context, &admin, "spiffe://test/app").await.unwrap();
    assert_eq!(ended.count, 1);
    let all = f.access.sessions(&context, &admin, None, None, 10).await.unwrap();
    assert!(all.found.is_empty());
}

#[tokio::test]
async fn the_policies_are_asked_about_a_bounded_number_of_roles() {
    let f = Fixture::new();
    f.rules(
        r#"rules = [
  { name = "logins", identities = ["*"], operations = ["auth.login"], resources = ["*"], effect = "allow" },
  { name = "some", identities = ["spiffe://test/admin"], operations = ["session.revoke"], resources = ["r-3*/*"], effect = "allow" },
]"#,
    );
    for number in 0..40 {
        let role = format!("r-{number:02}").parse().unwrap();
        f.access.login_with_certificate(&f.by("app"), &role).await.unwrap();
        f.clock.advance(Duration::from_millis(2));
    }
    let asked = || {
        let lines = f.sink.lines();
        lines.iter().filter(|line| line["operation"] == "session.revoke").count()
    };
    let nobody = f.access.authenticate(&f.by("app"), None).await.unwrap();
    let refused = f.access.revoke_sessions_of(&f.by("app"), &nobody, "spiffe://test/app").await;
    assert_eq!(code(refused), "no-rule");
    assert_eq!(asked(), 16);
    // A caller that may end some sessions is told that there may be more.
    f.rules(
        r#"rules = [{ name = "some", identities = ["*"], operations = ["session.revoke"], resources = ["r-0*/*", "r-39/*"], effect = "allow" }]"#,
    );
    let ended = f.access.revoke_sessions_of(&f.by("app"), &nobody, "spiffe://test/app").await;
    assert!(ended.unwrap().more);
}

#[tokio::test]
async fn tokens_of_an_earlier_release_are_found_once_they_are_indexed() {
    let f = Fixture::new();
    let (context, admin) =
        (f.by("admin"), f.access.authenticate(&f.by("admin"), None).await.unwrap());
    f.login(&f.by("app")).await;
    let pointers = f.store.keys(b"default/access/token-of/", None, 10).await.unwrap();
    assert_eq!(pointers.len(), 1);
    let gone = pointers.iter().cloned().fold(Commit::new(), Commit::delete);
    let stray = Key::new("default/access/token-of/00/0/x/y").unwrap();
    f.store.commit(gone.put(stray, "")).await.unwrap();
    let tenant = context.tenant.clone();
    f.access.index_tokens(&tenant).await.unwrap();
    let now = f.store.keys(b"default/access/token-of/", None, 10).await.unwrap();
    assert_eq!(now, pointers);
    // The index is built once only.
    f.store.commit(now.into_iter().fold(Commit::new(), Commit::delete)).await.unwrap();
    f.access.index_tokens(&tenant).await.unwrap();
    assert!(f.store.keys(b"default/access/token-of/", None, 10).await.unwrap().is_empty());
    // An explicit reindex builds it again.
    chancery_access::reindex(f.store.clone(), &tenant).await.unwrap();
    let ended = f.access.revoke_sessions_of(&context, &admin, "spiffe://test/app").await.unwrap();
    assert_eq!(ended.count, 1);
}
