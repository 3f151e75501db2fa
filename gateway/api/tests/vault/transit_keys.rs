//! Keys as Vault shows them, and what becomes of those that are there already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn public_keys_are_shown_as_vault_shows_them() {
    let f = Fixture::new();
    for (kind, name) in [
        ("ed25519", "ed25519"),
        ("ecdsa-p256", "P-256"),
        ("ecdsa-p384", "P-384"),
        ("ecdsa-p521", "P-521"),
        ("rsa-2048", "rsa-2048"),
    ] {
        let uri = format!("/v1/transit/keys/{kind}");
        let made = f.admin_sends("POST", &uri, json!({"type": kind})).await.data();
        assert_eq!(f.admin("GET", &uri).await.data(), made);
        let version = &made["keys"]["1"];
        assert_eq!(version["name"], name);
        let public = version["public_key"].as_str().unwrap();
        if kind == "ed25519" {
            // The 32 bytes of RFC 8032, and nothing around them.
            assert_eq!(STANDARD.decode(public).unwrap().len(), 32, "{public}");
        } else {
            assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{public}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_there_is_made_again_without_naming_its_type() {
    let f = Fixture::new();
    let uri = "/v1/transit/keys/tokens";
    let made = f.admin_sends("POST", uri, json!({"type": "ecdsa-p256"})).await.data();
    for body in ["", "null", "{}", r#"{"type":""}"#, r#"{"type":"ecdsa-p256"}"#] {
        let again = f.call("admin", "POST", uri).body(body).send().await;
        assert_eq!(again.data(), made, "{body:?}");
    }
    let other = f.admin_sends("POST", uri, json!({"type": "aes256-gcm96"})).await;
    assert!(other.errors(400).contains("of type ecdsa-p256"), "{other:?}");
    // One that is not there is of the usual type.
    let usual = f.call("admin", "POST", "/v1/transit/keys/new").send().await.data();
    assert_eq!(usual["type"], "aes256-gcm96");
}

#[tokio::test]
async fn a_backup_of_more_than_a_mebibyte_is_restored() {
    let f = Fixture::new();
    f.admin_sends("POST", "/v1/transit/keys/orders", json!({})).await.data();
    let backup = f.admin("GET", "/v1/transit/backup/orders").await.data();
    // As long as one of a key with thousands of versions; line breaks are passed over.
    let backup = backup["backup"].as_str().unwrap().to_owned() + &"\n".repeat(12 * 1024 * 1024);
    let restored = f.admin_sends("POST", "/v1/transit/restore/again", json!({"backup": backup}));
    assert_eq!(restored.await.data()["latest_version"], json!(1));
}

#[tokio::test]
async fn a_backup_is_restored_without_a_name_as_in_vault() {
    let f = Fixture::new();
    f.admin_sends("POST", "/v1/transit/keys/orders", json!({})).await;
    let backup = f.admin("GET", "/v1/transit/backup/orders").await.data();
    for path in ["restore", "restore/"] {
        let path = format!("/v1/transit/{path}");
        let told = f.admin_sends("POST", &path, backup.clone()).await.errors(400);
        assert!(told.contains("already"), "{told}");
        let allow = json!({"deletion_allowed": true});
        f.admin_sends("POST", "/v1/transit/keys/orders/config", allow).await;
        assert_eq!(f.admin("DELETE", "/v1/transit/keys/orders").await.status, 204);
        f.admin_sends("POST", "/v1/transit/keys/orders/purge", json!({})).await;
        f.admin("GET", "/v1/transit/keys/orders").await.errors(404);
        f.admin_sends("POST", &path, backup.clone()).await.data();
        assert_eq!(f.admin("GET", "/v1/transit/keys/orders").await.data()["name"], "orders");
    }
    let line = f.sink.lines();
    let line = line.iter().rev().find(|line| line["operation"] == "keys.restore").unwrap();
    assert_eq!(line["resource"], "transit/orders");
    f.admin("GET", "/v1/transit/restore").await.errors(405);
}
