use chancery_gate::Refused;
use chancery_secrets::kv::{KvError, MetadataUpdate};
use chancery_store::{Commit, CommitError, Key, Store};

use crate::fixture::{Fixture, path};

#[tokio::test]
async fn what_is_destroyed_pruned_or_removed_leaves_no_value_behind() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let at = path("app/db");
    for n in 1..=12 {
        f.write(&admin, "app/db", &format!(r#"{{"v":"value-{n}"}}"#), None).await.unwrap();
    }
    assert_eq!(f.values().await.len(), 10, "two were pruned");
    f.kv().destroy_versions(&admin.context, &admin.caller, &at, &[11, 12, 99]).await.unwrap();
    assert_eq!(f.values().await.len(), 8);
    f.kv().delete_versions(&admin.context, &admin.caller, &at, &[10]).await.unwrap();
    assert_eq!(f.values().await.len(), 8, "a deleted version can come back");
    f.kv().delete_metadata(&admin.context, &admin.caller, &at).await.unwrap();
    assert!(f.store.scan(b"", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_path_that_is_used_again_does_not_find_old_versions() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let at = path("app/db");
    for _ in 0..3 {
        f.write(&admin, "app/db", r#"{"old":1}"#, None).await.unwrap();
    }
    f.kv().delete_metadata(&admin.context, &admin.caller, &at).await.unwrap();
    assert_eq!(f.write(&admin, "app/db", r#"{"new":1}"#, Some(0)).await.unwrap().number, 1);
    let old = f.kv().read(&admin.context, &admin.caller, &at, Some(2)).await;
    assert!(matches!(old, Err(KvError::NotFound)), "{old:?}");
}

#[tokio::test]
async fn tenants_do_not_see_each_other_s_secrets() {
    let f = Fixture::new();
    let ours = f.admin().await;
    let theirs = f.somebody("other", "admin").await;
    f.write(&ours, "app/db", r#"{"v":"ours"}"#, None).await.unwrap();
    assert!(matches!(f.read(&theirs, "app/db").await, Err(KvError::NotFound)));
    assert!(matches!(f.list(&theirs, "").await, Err(KvError::NotFound)));
    f.write(&theirs, "app/db", r#"{"v":"theirs"}"#, Some(0)).await.unwrap();
    assert_eq!(f.read(&ours, "app/db").await.unwrap(), r#"{"v":"ours"}"#);
}

#[tokio::test]
async fn a_full_store_is_an_error_and_not_a_loss() {
    let f = Fixture::new();
    let admin = f.admin().await;
    f.write(&admin, "app/db", r#"{"v":1}"#, None).await.unwrap();
    f.store.set_full(true);
    let refused = f.write(&admin, "app/db", r#"{"v":2}"#, None).await;
    assert!(matches!(refused, Err(KvError::Commit(CommitError::Full))), "{refused:?}");
    assert_eq!(f.last_audited()["outcome"]["code"], "store-commit");
    assert_eq!(f.read(&admin, "app/db").await.unwrap(), r#"{"v":1}"#);
}

#[tokio::test]
async fn metadata_may_be_written_before_the_data() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let at = path("app/db");
    let update = MetadataUpdate { max_versions: Some(2), ..MetadataUpdate::default() };
    f.kv().write_metadata(&admin.context, &admin.caller, &at, &update).await.unwrap();
    assert!(matches!(f.read(&admin, "app/db").await, Err(KvError::NotFound)));
    // It is still the first version that is written: creating, for policies and for cas.
    let creator = f.somebody("default", "creator").await;
    assert_eq!(f.write(&creator, "app/db", "{}", Some(0)).await.unwrap().number, 1);
    let again = f.write(&creator, "app/db", "{}", None).await;
    assert!(matches!(again, Err(KvError::Gate(Refused::Denied(_)))), "{again:?}");
    for _ in 0..3 {
        f.write(&admin, "app/db", "{}", None).await.unwrap();
    }
    assert_eq!(f.values().await.len(), 2);
}

#[tokio::test]
async fn no_secret_is_made_under_a_name_that_hides_what_it_is() {
    let fixture = Fixture::new();
    let (admin, stranger) = (fixture.admin().await, fixture.somebody("default", "stranger").await);
    for hidden in ["app/d\u{ad}b", "app/\u{3164}db", "app/db\u{e0061}"] {
        let refused = fixture.write(&admin, hidden, "{}", None).await.unwrap_err();
        assert!(matches!(refused, KvError::Path(_)), "{refused}");
        assert_eq!(fixture.last_audited()["outcome"]["code"], "invalid-path");
        let update = MetadataUpdate::default();
        let (context, caller) = (&admin.context, &admin.caller);
        let refused = fixture.kv().write_metadata(context, caller, &path(hidden), &update).await;
        assert!(matches!(refused, Err(KvError::Path(_))), "{refused:?}");
        // Others are not told.
        let refused = fixture.write(&stranger, hidden, "{}", None).await.unwrap_err();
        assert!(matches!(refused, KvError::Gate(Refused::Denied(_))), "{refused}");
    }
    assert!(fixture.values().await.is_empty());
}

/// Earlier versions took some of them.
#[tokio::test]
async fn a_secret_with_such_a_name_is_read_written_and_removed() {
    let fixture = Fixture::new();
    let admin = fixture.admin().await;
    fixture.write(&admin, "app/db", r#"{"a":"1"}"#, None).await.unwrap();
    let prefix = "default/secrets/kv-metadata/secret/";
    let record = fixture.store.get(&Key::new(format!("{prefix}app/db")).unwrap()).await;
    let hidden = "app/d\u{ad}b";
    let commit = Commit::new()
        .put(Key::new(format!("{prefix}{hidden}")).unwrap(), record.unwrap().unwrap().value)
        .delete(Key::new(format!("{prefix}app/db")).unwrap());
    fixture.store.commit(commit).await.unwrap();
    assert_eq!(fixture.read(&admin, hidden).await.unwrap(), r#"{"a":"1"}"#);
    assert_eq!(fixture.list(&admin, "app").await.unwrap(), ["d\u{ad}b"]);
    fixture.write(&admin, hidden, r#"{"a":"2"}"#, None).await.unwrap();
    assert_eq!(fixture.read(&admin, hidden).await.unwrap(), r#"{"a":"2"}"#);
    let (context, caller) = (&admin.context, &admin.caller);
    fixture.kv().delete_metadata(context, caller, &path(hidden)).await.unwrap();
    assert!(fixture.list(&admin, "app").await.unwrap_or_default().is_empty());
}
