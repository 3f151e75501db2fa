use chancery_gate::Refused;
use chancery_secrets::kv::{KvConfigUpdate, KvError, KvOperation, MetadataUpdate, SecretData};
use serde_json::json;

use crate::fixture::{Fixture, path};

#[tokio::test]
async fn no_value_reaches_the_audit_log() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let at = path("app/db");
    f.write(&admin, "app/db", r#"{"password":"hunter2"}"#, None).await.unwrap();
    f.read(&admin, "app/db").await.unwrap();
    let patch = SecretData::from_json(r#"{"password":"hunter2-new"}"#).unwrap();
    f.kv().patch(&admin.context, &admin.caller, &at, &patch, None).await.unwrap();
    f.write(&admin, "app/db", r#"{"password":"hunter2"}"#, Some(7)).await.unwrap_err();
    let log = String::from_utf8(f.sink.bytes()).unwrap();
    assert!(!log.contains("hunter2") && !log.contains("password"), "{log}");
    let operations: Vec<_> =
        f.sink.lines().iter().map(|line| line["operation"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        operations,
        ["secrets.create", "secrets.read", "secrets.patch", "secrets.update"],
        "one line for each operation"
    );
    assert_eq!(f.last_audited()["outcome"], json!({"result": "failed", "code": "cas-mismatch"}));
}

#[tokio::test]
async fn a_value_is_told_apart_from_others_by_a_keyed_hash() {
    let f = Fixture::new();
    let admin = f.admin().await;
    f.write(&admin, "app/db", r#"{"password":"hunter2"}"#, None).await.unwrap();
    f.read(&admin, "app/db").await.unwrap();
    f.write(&admin, "app/db", r#"{"password":"hunter3"}"#, None).await.unwrap();
    let hashes: Vec<_> =
        f.sink.lines().iter().map(|line| line["details"]["value"].clone()).collect();
    assert!(hashes[0].as_str().unwrap().starts_with("hmac-sha256:"), "{hashes:?}");
    assert_eq!(hashes[0], hashes[1], "what was written is what was read");
    assert_ne!(hashes[1], hashes[2]);
}

#[tokio::test]
async fn nothing_is_answered_that_the_audit_log_does_not_have() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let stranger = f.somebody("default", "stranger").await;
    f.write(&admin, "app/db", r#"{"password":"hunter2"}"#, None).await.unwrap();
    f.sink.refuse(true);
    for who in [&admin, &stranger] {
        let read = f.read(who, "app/db").await;
        assert!(matches!(read, Err(KvError::Gate(Refused::Unrecorded(_)))), "{read:?}");
        let written = f.write(who, "app/db", "{}", None).await;
        assert!(matches!(written, Err(KvError::Gate(Refused::Unrecorded(_)))), "{written:?}");
        let listed = f.list(who, "").await;
        assert!(matches!(listed, Err(KvError::Gate(Refused::Unrecorded(_)))), "{listed:?}");
    }
}

#[tokio::test]
async fn a_denial_is_the_same_whether_or_not_there_is_a_secret() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let reader = f.somebody("default", "reader").await;
    f.write(&admin, "other/db", "{}", None).await.unwrap();
    let mut denials = Vec::new();
    for at in ["other/db", "other/none"] {
        // What was asked for stands in it, and nothing else differs.
        denials.push(format!("{:?}", f.read(&reader, at).await.unwrap_err()).replace(at, "PATH"));
        let line = f.last_audited();
        assert_eq!(line["outcome"], json!({"result": "denied", "code": "no-rule"}));
        assert_eq!(line["decisions"][0]["outcome"], "deny");
        assert_eq!(line["resource"], format!("secret/{at}"));
    }
    assert_eq!(denials[0], denials[1]);
}

#[tokio::test]
async fn every_operation_asks_the_policies_by_its_own_name() {
    let f = Fixture::new();
    let stranger = f.somebody("default", "stranger").await;
    let (context, caller) = (&stranger.context, &stranger.caller);
    let (kv, at, data) = (f.kv(), path("app/db"), SecretData::from_json("{}").unwrap());
    f.read(&stranger, "app/db").await.unwrap_err();
    f.list(&stranger, "app").await.unwrap_err();
    kv.write(context, caller, &at, &data, None).await.unwrap_err();
    f.write(&f.admin().await, "app/db", "{}", None).await.unwrap();
    kv.write(context, caller, &at, &data, None).await.unwrap_err();
    kv.patch(context, caller, &at, &data, None).await.unwrap_err();
    kv.delete_latest(context, caller, &at).await.unwrap_err();
    kv.read_subkeys(context, caller, &at, None, None).await.unwrap_err();
    kv.read_metadata(context, caller, &at).await.unwrap_err();
    kv.write_metadata(context, caller, &at, &MetadataUpdate::default()).await.unwrap_err();
    kv.delete_metadata(context, caller, &at).await.unwrap_err();
    kv.undelete_versions(context, caller, &at, &[1]).await.unwrap_err();
    kv.destroy_versions(context, caller, &at, &[1]).await.unwrap_err();
    kv.read_config(context, caller).await.unwrap_err();
    kv.write_config(context, caller, &KvConfigUpdate::default()).await.unwrap_err();
    kv.delete_versions(context, caller, &at, &[1]).await.unwrap_err();
    kv.patch_metadata(context, caller, &at, &MetadataUpdate::default()).await.unwrap_err();

    let denied: Vec<_> = f
        .sink
        .lines()
        .iter()
        .filter(|line| line["outcome"]["result"] == "denied")
        .map(|line| line["operation"].as_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<_> = KvOperation::ALL.map(KvOperation::name).to_vec();
    expected.extend(["secrets.delete", "secrets.metadata.update"]);
    assert_eq!(denied, expected);
}

#[tokio::test]
async fn a_mount_that_is_missing_and_one_that_is_forbidden_are_told_apart_by_nobody() {
    let f = Fixture::new();
    let reader = f.somebody("default", "reader").await;
    let stranger = f.somebody("default", "stranger").await;
    let behind = async |who: &crate::fixture::Somebody, at| {
        let found = f.secrets.mount_behind(&who.context, &who.caller, at).await;
        found.map(|mount| mount.name.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(behind(&reader, "secret/app/db").await, Ok("secret".to_owned()));
    assert_eq!(f.last_audited()["outcome"]["result"], "success");
    let forbidden = behind(&stranger, "secret/app/db").await.unwrap_err();
    let missing = behind(&stranger, "none/app/db").await.unwrap_err();
    assert_eq!(forbidden, missing);
    assert_eq!(behind(&reader, "secret").await.unwrap_err(), missing);
    assert_eq!(f.last_audited()["outcome"]["code"], "mount-not-visible");
}
