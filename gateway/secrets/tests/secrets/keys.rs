//! The life of keys, in software.

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_gate::Refused;
use chancery_keys::KeyType;
use chancery_keys::software::{OaepHash, generate, wrap_key};
use chancery_records::Fence;
use chancery_secrets::Page;
use chancery_secrets::transit::{
    Encryption, Import, Imported, KeySettings, Marshaling, NewKey, Protection, SettingsUpdate,
    Sha2, Signing, State, TransitError, TransitKey, TransitKeyName, TransitKeyType, VersionedText,
};
use chancery_store::{Commit, Key, Store};
use chancery_x509::{PublicKey, pem};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::fixture::{Fixture, Somebody};

const DAY: Duration = Duration::from_hours(24);

fn name(text: &str) -> TransitKeyName {
    text.parse().unwrap()
}

fn plain(text: &str) -> Encryption<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(text.as_bytes().to_vec());
    Encryption { text, associated: b"orders".to_vec(), hash: OaepHash::Sha256, version: None }
}

fn sealed(text: &VersionedText) -> Encryption<VersionedText> {
    let Encryption { associated, hash, version, .. } = plain("");
    Encryption { text: text.clone(), associated, hash, version }
}

/// A fixture with its administrator.
struct World {
    f: Fixture,
    admin: Somebody,
}

impl World {
    async fn new() -> Self {
        let f = Fixture::new();
        let admin = f.admin().await;
        Self { f, admin }
    }

    async fn create(&self, key: &str, key_type: TransitKeyType) -> TransitKey {
        self.create_with(key, key_type, SettingsUpdate::default()).await
    }

    async fn create_with(
        &self,
        key: &str,
        key_type: TransitKeyType,
        settings: SettingsUpdate,
    ) -> TransitKey {
        let wanted = NewKey { key_type: Some(key_type), protection: None, settings };
        let Somebody { context, caller } = &self.admin;
        self.f.transit().create(context, caller, &name(key), wanted).await.unwrap()
    }

    async fn encrypt(&self, key: &str, text: &str) -> Result<VersionedText, TransitError> {
        let Somebody { context, caller } = &self.admin;
        let items = [plain(text)];
        self.f.transit().encrypt(context, caller, &name(key), &items).await?.remove(0)
    }

    async fn decrypt(&self, key: &str, text: &VersionedText) -> Result<String, TransitError> {
        let Somebody { context, caller } = &self.admin;
        let items = [sealed(text)];
        let mut opened = self.f.transit().decrypt(context, caller, &name(key), &items).await?;
        let opened = opened.remove(0)?;
        Ok(String::from_utf8(opened.to_vec()).unwrap())
    }

    async fn rotate(&self, key: &str) -> Result<TransitKey, TransitError> {
        let Somebody { context, caller } = &self.admin;
        self.f.transit().rotate(context, caller, &name(key)).await
    }

    async fn read(&self, key: &str) -> Result<TransitKey, TransitError> {
        let Somebody { context, caller } = &self.admin;
        self.f.transit().read(context, caller, &name(key)).await
    }

    async fn update(&self, key: &str, update: SettingsUpdate) -> Result<TransitKey, TransitError> {
        let Somebody { context, caller } = &self.admin;
        self.f.transit().update(context, caller, &name(key), update).await
    }

    async fn delete(&self, key: &str) -> Result<TransitKey, TransitError> {
        let Somebody { context, caller } = &self.admin;
        self.f.transit().delete(context, caller, &name(key)).await
    }

    /// How many records of private halves and secrets the store has.
    async fn materials(&self) -> usize {
        self.f.store.scan(b"default/secrets/transit-material/", None, 20_000).await.unwrap().len()
    }

    async fn import(&self, key: &str, import: Import) -> Result<TransitKey, TransitError> {
        let Somebody { context, caller } = &self.admin;
        self.f.transit().import(context, caller, &name(key), import, false).await
    }

    /// A key wrapped as a client would wrap it.
    async fn wrapped(&self, secret: &[u8], hash: OaepHash) -> Imported {
        let Somebody { context, caller } = &self.admin;
        let text =
            self.f.transit().wrapping_key(context, caller, Protection::Software).await.unwrap().pem;
        let der = pem::decode(pem::PUBLIC_KEY, &text).unwrap().remove(0);
        let to = PublicKey::from_spki_der(&der).unwrap();
        Imported::Wrapped { ciphertext: wrap_key(&to, hash, secret).unwrap(), hash }
    }
}

#[tokio::test]
async fn what_was_encrypted_opens_after_rotations_until_its_version_is_withdrawn() {
    let w = World::new().await;
    w.create("orders", TransitKeyType::Aes256Gcm96).await;
    let first = w.encrypt("orders", "one").await.unwrap();
    assert_eq!(first.version, 1);
    assert_eq!(w.rotate("orders").await.unwrap().latest, 2);
    let second = w.encrypt("orders", "two").await.unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(w.decrypt("orders", &first).await.unwrap(), "one");
    assert_eq!(w.decrypt("orders", &second).await.unwrap(), "two");

    // After a rewrap it is the same text under the latest version.
    let Somebody { context, caller } = &w.admin;
    let mut anew =
        w.f.transit().rewrap(context, caller, &name("orders"), &[sealed(&first)]).await.unwrap();
    let anew = anew.remove(0).unwrap();
    assert_eq!((anew.version, w.decrypt("orders", &anew).await.unwrap()), (2, "one".to_owned()));

    let withdraw = SettingsUpdate { min_decryption_version: Some(2), ..SettingsUpdate::default() };
    w.update("orders", withdraw).await.unwrap();
    let refused = w.decrypt("orders", &first).await.unwrap_err().to_string();
    assert!(refused.contains("before min_decryption_version"), "{refused}");

    // After a trim the version is gone for good.
    let trimmed = w.f.transit().trim(context, caller, &name("orders"), 3).await;
    assert!(matches!(trimmed, Err(TransitError::Refused(_))));
    assert_eq!(w.materials().await, 2);
    let trimmed = w.f.transit().trim(context, caller, &name("orders"), 2).await.unwrap();
    assert_eq!((trimmed.oldest(), w.materials().await), (2, 1));
    let back = SettingsUpdate { min_decryption_version: Some(1), ..SettingsUpdate::default() };
    assert!(w.update("orders", back).await.is_err());
    assert_eq!(w.decrypt("orders", &second).await.unwrap(), "two");
}

#[tokio::test]
async fn a_ciphertext_opens_with_its_key_and_its_associated_data_only() {
    let w = World::new().await;
    w.create("orders", TransitKeyType::Aes256Gcm96).await;
    w.create("others", TransitKeyType::Aes256Gcm96).await;
    let made = w.encrypt("orders", "one").await.unwrap();
    assert!(matches!(w.decrypt("others", &made).await, Err(TransitError::Unauthentic)));
    let mut changed = made.clone();
    *changed.bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(w.decrypt("orders", &changed).await, Err(TransitError::Unauthentic)));
    for length in [0, 11, 27] {
        let cut = VersionedText::new(1, made.bytes[..length].to_vec());
        assert!(matches!(w.decrypt("orders", &cut).await, Err(TransitError::Unauthentic)));
    }
    let elsewhere = Encryption { associated: b"invoices".to_vec(), ..sealed(&made) };
    let Somebody { context, caller } = &w.admin;
    let orders = name("orders");
    let opened = w.f.transit().decrypt(context, caller, &orders, &[elsewhere]).await.unwrap();
    assert!(matches!(opened[0], Err(TransitError::Unauthentic)));
    // In a batch, each input has its own result.
    let several = [sealed(&changed), sealed(&made)];
    let opened = w.f.transit().decrypt(context, caller, &orders, &several).await.unwrap();
    assert!(opened[0].is_err() && opened[1].is_ok());
    let line = w.f.last_audited();
    assert_eq!(
        (&line["outcome"]["result"], &line["details"]["failed"]),
        (&"success".into(), &1.into())
    );
    // Also if all inputs are wrong, which the audit log calls a failure.
    let several = [sealed(&changed), sealed(&changed)];
    let opened = w.f.transit().decrypt(context, caller, &orders, &several).await.unwrap();
    assert!(opened.iter().all(Result::is_err) && opened.len() == 2);
    let line = w.f.last_audited();
    assert_eq!(
        (&line["outcome"]["result"], &line["details"]["failed"]),
        (&"failed".into(), &2.into())
    );
    let future = VersionedText::new(2, made.bytes);
    assert!(matches!(w.decrypt("orders", &future).await, Err(TransitError::Refused(_))));
}

#[tokio::test]
async fn a_disabled_key_does_nothing_until_it_is_enabled() {
    let w = World::new().await;
    w.create("orders", TransitKeyType::Aes256Gcm96).await;
    let made = w.encrypt("orders", "one").await.unwrap();
    let Somebody { context, caller } = &w.admin;
    let key = name("orders");
    let disabled = w.f.transit().disable(context, caller, &key).await.unwrap();
    assert_eq!(disabled.state, State::Disabled);
    assert!(matches!(w.encrypt("orders", "x").await, Err(TransitError::NotEnabled(_))));
    assert!(matches!(w.decrypt("orders", &made).await, Err(TransitError::NotEnabled(_))));
    assert!(matches!(w.rotate("orders").await, Err(TransitError::NotEnabled(_))));
    w.f.transit().enable(context, caller, &key).await.unwrap();
    assert_eq!(w.decrypt("orders", &made).await.unwrap(), "one");
}

#[tokio::test]
async fn a_deleted_key_waits_can_come_back_and_is_destroyed_in_the_end() {
    let w = World::new().await;
    let wait = SettingsUpdate { deletion_wait: Some(DAY * 3), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, wait).await;
    let made = w.encrypt("orders", "one").await.unwrap();
    let refused = w.delete("orders").await.unwrap_err().to_string();
    assert!(refused.contains("deletion_allowed"), "{refused}");
    let allow = SettingsUpdate { deletion_allowed: Some(true), ..SettingsUpdate::default() };
    w.update("orders", allow).await.unwrap();
    let destroyed_at = w.f.clock.now() + DAY * 3;
    assert_eq!(w.delete("orders").await.unwrap().state, State::Deleted { destroyed_at });
    assert!(matches!(w.decrypt("orders", &made).await, Err(TransitError::NotEnabled(_))));

    // A day before its time.
    w.f.clock.advance(DAY * 2);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 0);
    let Somebody { context, caller } = &w.f.admin().await;
    // Until then its name is taken, and a new key does not get it.
    let wanted = NewKey { key_type: None, protection: None, settings: SettingsUpdate::default() };
    let again = w.f.transit().create(context, caller, &name("orders"), wanted).await;
    let again = again.unwrap_err().to_string();
    assert!(again.contains("bring it back"), "{again}");
    let back = w.f.transit().undelete(context, caller, &name("orders")).await.unwrap();
    assert_eq!(back.state, State::Disabled);
    w.f.clock.advance(DAY * 2);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 0);

    let Somebody { context, caller } = &w.f.admin().await;
    w.f.transit().enable(context, caller, &name("orders")).await.unwrap();
    w.f.transit().delete(context, caller, &name("orders")).await.unwrap();
    w.f.clock.advance(DAY * 3);
    let Somebody { context, caller } = &w.f.admin().await;
    let late = w.f.transit().undelete(context, caller, &name("orders")).await;
    assert!(matches!(late, Err(TransitError::NotFound)));
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 1);
    assert_eq!(w.f.last_audited()["operation"], "keys.destroy");
    assert_eq!(w.materials().await, 0);
    let gone = w.f.transit().read(context, caller, &name("orders")).await;
    assert!(matches!(gone, Err(TransitError::NotFound)));
    let left = w.f.store.scan(b"", None, 1000).await.unwrap();
    let keys: Vec<_> = left.iter().map(|record| record.key.to_string()).collect();
    assert!(keys.iter().all(|key| !key.contains("transit")), "{keys:?}");
}

/// Somebody who can write the store put them there.
#[tokio::test]
async fn what_is_no_entry_of_a_key_is_removed_and_does_not_end_the_sweep() {
    let w = World::new().await;
    let monthly = SettingsUpdate { rotation_period: Some(DAY * 30), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, monthly).await;
    let due = b"_/secrets/transit-due/";
    let own = w.f.store.keys(due, None, 10).await.unwrap();
    assert_eq!(own.len(), 1);
    let mut commit = own.iter().cloned().fold(Commit::new(), Commit::delete);
    let broken = "_/secrets/transit-due/000000000001/default/transit/broken";
    for key in [
        "_/secrets/transit-due/!x",
        "_/secrets/transit-due/00009999999999999/default/transit/orders",
        broken,
        "default/secrets/transit-key/transit/broken",
    ] {
        commit = commit.put(Key::new(key).unwrap(), "");
    }
    w.f.store.commit(commit).await.unwrap();
    // The entry of the key follows from the key.
    let tenant = &w.admin.context.tenant;
    chancery_secrets::transit::reindex(&w.f.store, tenant).await.unwrap();
    w.f.clock.advance(DAY * 31);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 1);
    let left = w.f.store.keys(due, None, 10).await.unwrap();
    assert_eq!(left.first(), Some(&Key::new(broken).unwrap()), "this key cannot be read");
    assert_eq!(left.len(), 2, "and the next rotation of the other one: {left:?}");
}

#[tokio::test]
async fn a_deleted_key_is_purged_unless_it_is_protected() {
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    let allow = SettingsUpdate { deletion_allowed: Some(true), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, allow).await;
    let protect = SettingsUpdate { purge_protection: Some(true), ..allow };
    w.create_with("ledger", TransitKeyType::Aes256Gcm96, protect).await;
    let early = w.f.transit().purge(context, caller, &name("orders")).await;
    assert!(matches!(early, Err(TransitError::Refused(_))));
    for key in ["orders", "ledger"] {
        w.delete(key).await.unwrap();
    }
    w.f.transit().purge(context, caller, &name("orders")).await.unwrap();
    assert!(matches!(w.read("orders").await, Err(TransitError::NotFound)));
    let protected = w.f.transit().purge(context, caller, &name("ledger")).await.unwrap_err();
    assert!(protected.to_string().contains("protected"), "{protected}");
    assert!(w.read("ledger").await.is_ok());
    // A freed name stands for another key.
    w.create("orders", TransitKeyType::Hmac).await;
    assert_eq!(w.materials().await, 2);
}

#[tokio::test]
async fn a_key_is_rotated_by_itself_when_its_time_has_come() {
    let w = World::new().await;
    let monthly = SettingsUpdate { rotation_period: Some(DAY * 30), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, monthly).await;
    let first = w.encrypt("orders", "one").await.unwrap();
    w.f.clock.advance(DAY * 29);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 0);
    w.f.clock.advance(DAY);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 1);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 0);
    let line = w.f.last_audited();
    assert_eq!(line["operation"], "keys.rotate");
    assert_eq!(line["details"]["cause"], "schedule");
    let w = World { admin: w.f.admin().await, f: w.f };
    let key = w.read("orders").await.unwrap();
    assert_eq!(key.latest, 2);
    assert_eq!(key.next_rotation(), Some(w.f.clock.now() + DAY * 30));
    assert_eq!(w.decrypt("orders", &first).await.unwrap(), "one");
    let never =
        SettingsUpdate { rotation_period: Some(Duration::ZERO), ..SettingsUpdate::default() };
    w.update("orders", never).await.unwrap();
    w.f.clock.advance(DAY * 300);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_that_is_damaged_does_not_keep_others_from_being_rotated() {
    let w = World::new().await;
    let monthly = SettingsUpdate { rotation_period: Some(DAY * 30), ..SettingsUpdate::default() };
    for key in ["a", "b"] {
        w.create_with(key, TransitKeyType::Aes256Gcm96, monthly).await;
    }
    let records = w.f.store.scan(b"", None, 1000).await.unwrap();
    let first =
        records.iter().find(|record| record.key.to_string().ends_with("transit-key/transit/a"));
    let odd = Key::new("_/secrets/transit-due/.").unwrap();
    let commit = Commit::new().put(first.unwrap().key.clone(), "damaged").put(odd, "");
    w.f.store.commit(commit).await.unwrap();
    w.f.clock.advance(DAY * 30);
    assert_eq!(w.f.secrets.sweep_keys(&Fence::none()).await.unwrap(), 1);
}

#[tokio::test]
async fn every_type_of_key_signs_and_verifies_in_each_form() {
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    for pair in [
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Rsa2048,
        KeyType::Ed25519,
        KeyType::MlDsa65,
    ] {
        let key = name(pair.as_str());
        w.create(pair.as_str(), TransitKeyType::Pair(pair)).await;
        for marshaling in [Marshaling::Asn1, Marshaling::Jws] {
            let how = Signing { marshaling, ..Signing::default() };
            let messages = [b"one".to_vec(), b"two".to_vec()];
            let transit = w.f.transit();
            let made =
                transit.sign(context, caller, &key, None, how, messages.to_vec()).await.unwrap();
            if marshaling == Marshaling::Jws && pair == KeyType::EcdsaP521 {
                assert_eq!(made[0].bytes.len(), 132);
            }
            let signed = [
                (messages[0].clone(), made[0].clone()),
                (messages[1].clone(), made[1].clone()),
                (messages[0].clone(), made[1].clone()),
                (messages[0].clone(), VersionedText::new(1, vec![])),
            ];
            let verified =
                transit.verify(context, caller, &key, how, signed.to_vec()).await.unwrap();
            let verified: Vec<_> = verified.into_iter().map(Result::unwrap).collect();
            assert_eq!(verified, [true, true, false, false], "{pair} {marshaling:?}");
        }
    }
    let refused = w.encrypt("ed25519", "x").await.unwrap_err().to_string();
    assert!(refused.contains("do not encrypt"), "{refused}");
    let missing = w.encrypt("nothing", "x").await.unwrap_err().to_string();
    assert_eq!(missing, "encryption key not found");
}

#[tokio::test]
async fn a_batch_that_would_keep_a_processor_for_too_long_is_refused_with_how_many_fit() {
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    w.create("slow", TransitKeyType::Pair(KeyType::EcdsaP521)).await;
    let (slow, how) = (name("slow"), Signing::default());
    let transit = w.f.transit();
    let refused = transit.sign(context, caller, &slow, None, how, vec![vec![]; 5000]).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("these 5000 inputs") && refused.contains("at most 3333"), "{refused}");
    let signed = vec![(vec![], VersionedText::new(1, vec![])); 5000];
    let refused = transit.verify(context, caller, &slow, how, signed).await.unwrap_err();
    assert!(matches!(refused, TransitError::Refused(_)), "{refused}");
    let line = w.f.last_audited();
    assert_eq!(line["details"]["count"], json!(5000), "it is on record: {line}");
    // As many verifications as a request may have: they run beside the async threads.
    let signed = vec![(vec![], VersionedText::new(1, vec![1])); 100];
    let verified = transit.verify(context, caller, &slow, how, signed).await.unwrap();
    assert_eq!(verified.len(), 100);
    assert!(verified.into_iter().all(|verified| !verified.unwrap()));
}

#[tokio::test]
async fn rsa_keys_encrypt_too_and_macs_are_verified_by_their_version() {
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    let rsa = TransitKeyType::Pair(KeyType::Rsa2048);
    w.create("rsa", rsa).await;
    let item = Encryption { associated: vec![], ..plain("short") };
    let made = w.f.transit().encrypt(context, caller, &name("rsa"), &[item]).await.unwrap();
    let item = Encryption { associated: vec![], ..sealed(made[0].as_ref().unwrap()) };
    let opened = w.f.transit().decrypt(context, caller, &name("rsa"), &[item]).await.unwrap();
    assert_eq!(**opened[0].as_ref().unwrap(), *b"short");
    let bound = w.encrypt("rsa", "bound").await.unwrap_err().to_string();
    assert!(bound.contains("associated_data"), "{bound}");

    w.create("mac", TransitKeyType::Hmac).await;
    let key = name("mac");
    let mac = |messages: Vec<Vec<u8>>| async {
        w.f.transit().mac(context, caller, &key, None, Sha2::Sha256, messages).await.unwrap()
    };
    let first = mac(vec![b"one".to_vec()]).await.remove(0).unwrap();
    w.rotate("mac").await.unwrap();
    let second = mac(vec![b"one".to_vec()]).await.remove(0).unwrap();
    assert_ne!(first.bytes, second.bytes);
    let made =
        vec![(b"one".to_vec(), first.clone()), (b"one".to_vec(), second), (b"two".to_vec(), first)];
    let transit = w.f.transit();
    let verified = transit.verify_mac(context, caller, &key, Sha2::Sha256, made).await.unwrap();
    let verified: Vec<_> = verified.into_iter().map(Result::unwrap).collect();
    assert_eq!(verified, [true, true, false]);
}

#[tokio::test]
async fn policies_are_told_which_algorithm_is_wanted() {
    let w = World::new().await;
    w.create("ec", TransitKeyType::Pair(KeyType::EcdsaP256)).await;
    w.create("ed", TransitKeyType::Pair(KeyType::Ed25519)).await;
    let signer = w.f.somebody("default", "signer").await;
    let Somebody { context, caller } = &signer;
    let how = Signing::default();
    let message = vec![b"m".to_vec()];
    let transit = w.f.transit();
    transit.sign(context, caller, &name("ec"), None, how, message.clone()).await.unwrap();
    let line = w.f.last_audited();
    assert_eq!(line["operation"], "crypto.sign");
    assert_eq!(line["resource"], "transit/ec");
    for (fact, value) in
        [("algorithm", "ecdsa-p256-sha256"), ("key-type", "ecdsa-p256"), ("protection", "software")]
    {
        assert_eq!(line["details"][fact], value, "{line}");
    }
    assert_eq!(line["details"]["count"], json!(1));
    // A client without rights gets the same answer for another algorithm and for a key that does not
    // exist.
    for key in ["ed", "nothing"] {
        let refused = transit.sign(context, caller, &name(key), None, how, message.clone()).await;
        assert!(
            matches!(refused, Err(TransitError::Gate(Refused::Denied(_)))),
            "{key}: {refused:?}"
        );
    }
    let stranger = w.f.somebody("default", "stranger").await;
    let listed = transit.list(&stranger.context, &stranger.caller, &Page::ALL).await;
    assert!(matches!(listed, Err(TransitError::Gate(Refused::Denied(_)))));
    let other_tenant = w.f.somebody("other", "admin").await;
    let read = transit.read(&other_tenant.context, &other_tenant.caller, &name("ec")).await;
    assert!(matches!(read, Err(TransitError::NotFound)), "{read:?}");
}

#[tokio::test]
async fn keys_are_brought_in_wrapped() {
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    let settings = SettingsUpdate { exportable: Some(true), ..SettingsUpdate::default() };
    let protection = Protection::Software;
    let pkcs8 = generate(KeyType::EcdsaP256).unwrap();
    for hash in [OaepHash::Sha1, OaepHash::Sha256] {
        let what = w.wrapped(&pkcs8, hash).await;
        let key_type = TransitKeyType::Pair(KeyType::EcdsaP256);
        let import = Import { key_type, protection, what, settings };
        let imported = w.import(&format!("brought-{hash:?}"), import).await.unwrap();
        assert!(imported.imported && imported.settings.exportable);
    }
    let key = name("brought-Sha256");
    let how = Signing::default();
    let message = vec![b"m".to_vec()];
    w.f.transit().sign(context, caller, &key, None, how, message.clone()).await.unwrap();
    let rotated = w.rotate("brought-Sha256").await.unwrap_err().to_string();
    assert!(rotated.contains("bring the next version in"), "{rotated}");
    // The next version is brought in too.
    let what = w.wrapped(&generate(KeyType::EcdsaP256).unwrap(), OaepHash::Sha256).await;
    let import = Import { key_type: TransitKeyType::Aes256Gcm96, protection, what, settings };
    let second = w.f.transit().import(context, caller, &key, import, true).await.unwrap();
    assert_eq!(second.latest, 2);

    // Not a key, another type of key, or wrapped to something else.
    let aes = TransitKeyType::Aes256Gcm96;
    let cases = [
        (aes, w.wrapped(&[7; 16], OaepHash::Sha256).await),
        (aes, w.wrapped(&pkcs8, OaepHash::Sha256).await),
        (TransitKeyType::Pair(KeyType::EcdsaP384), w.wrapped(&pkcs8, OaepHash::Sha256).await),
        (TransitKeyType::Hmac, w.wrapped(b"short", OaepHash::Sha256).await),
        (aes, Imported::Wrapped { ciphertext: vec![1; 600], hash: OaepHash::Sha256 }),
        (aes, Imported::Wrapped { ciphertext: vec![], hash: OaepHash::Sha256 }),
        (aes, Imported::Public("not a key".to_owned())),
    ];
    for (key_type, what) in cases {
        let import = Import { key_type, protection, what, settings };
        let refused = w.import("refused", import).await;
        assert!(matches!(refused, Err(TransitError::Refused(_))), "{key_type}: {refused:?}");
    }
    assert!(matches!(w.read("refused").await, Err(TransitError::NotFound)));
    let what = w.wrapped(&[7; 32], OaepHash::Sha256).await;
    let taken =
        w.import("brought-Sha1", Import { key_type: aes, protection, what, settings }).await;
    assert!(matches!(taken, Err(TransitError::Refused(_))));
}

#[tokio::test]
async fn an_exportable_key_goes_to_another_mount_and_no_other_key_does() {
    let (from, to) = (World::new().await, World::new().await);
    let exportable = SettingsUpdate { exportable: Some(true), ..SettingsUpdate::default() };
    from.create_with("orders", TransitKeyType::Aes256Gcm96, exportable).await;
    from.create("own", TransitKeyType::Aes256Gcm96).await;
    let made = from.encrypt("orders", "one").await.unwrap();

    let Somebody { context, caller } = &to.admin;
    let wrapping_key =
        to.f.transit().wrapping_key(context, caller, Protection::Software).await.unwrap().pem;
    let import = Import {
        key_type: TransitKeyType::Pair(KeyType::Rsa4096),
        protection: Protection::Software,
        what: Imported::Public(wrapping_key),
        settings: SettingsUpdate::default(),
    };
    from.import("other-site", import).await.unwrap();
    let Somebody { context, caller } = &from.admin;
    let transit = from.f.transit();
    let export = async |source: &str, destination: &str| {
        transit.export(context, caller, &name(source), &name(destination), Some(1)).await
    };
    let (_, wrapped) = export("orders", "other-site").await.unwrap();
    assert_eq!(from.f.last_audited()["details"]["destination"], "other-site");
    for (source, destination) in [("own", "other-site"), ("orders", "own"), ("orders", "nothing")] {
        let refused = export(source, destination).await;
        assert!(matches!(refused, Err(TransitError::Refused(_))), "{source} to {destination}");
    }
    // Only the public half is there: it cannot sign or decrypt.
    let signed = transit
        .sign(context, caller, &name("other-site"), None, Signing::default(), vec![vec![]])
        .await
        .unwrap_err();
    assert!(signed.to_string().contains("only the public half"), "{signed}");

    let what = Imported::Wrapped { ciphertext: wrapped[&1].clone(), hash: OaepHash::Sha256 };
    let key_type = TransitKeyType::Aes256Gcm96;
    let (settings, protection) = (SettingsUpdate::default(), Protection::Software);
    to.import("orders", Import { key_type, protection, what, settings }).await.unwrap();
    assert_eq!(to.decrypt("orders", &made).await.unwrap(), "one");
}

#[tokio::test]
async fn a_backup_brings_a_key_back_where_it_was_made_and_nowhere_else() {
    let w = World::new().await;
    let allow = SettingsUpdate { deletion_allowed: Some(true), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, allow).await;
    let first = w.encrypt("orders", "one").await.unwrap();
    w.rotate("orders").await.unwrap();
    let second = w.encrypt("orders", "two").await.unwrap();
    let Somebody { context, caller } = &w.admin;
    let transit = w.f.transit();
    let backup = transit.back_up(context, caller, &name("orders")).await.unwrap();
    let taken = transit.restore(context, caller, Some(&name("orders")), &backup).await;
    assert!(matches!(taken, Err(TransitError::Refused(_))));
    // The copy and the key itself end independently.
    transit.restore(context, caller, Some(&name("copy")), &backup).await.unwrap();
    w.delete("orders").await.unwrap();
    transit.purge(context, caller, &name("orders")).await.unwrap();
    let restored =
        transit.restore(context, caller, Some(&name("orders")), &backup).await.unwrap().1;
    assert_eq!((restored.latest, restored.state), (2, State::Enabled));
    for key in ["orders", "copy"] {
        assert_eq!(w.decrypt(key, &first).await.unwrap(), "one");
        assert_eq!(w.decrypt(key, &second).await.unwrap(), "two");
    }

    let mut changed = backup.clone();
    changed.replace_range(40..41, if &backup[40..41] == "A" { "B" } else { "A" });
    let elsewhere = World::new().await;
    for (world, text) in [(&w, changed.as_str()), (&w, "nonsense"), (&elsewhere, &backup)] {
        let Somebody { context, caller } = &world.admin;
        let refused = world.f.transit().restore(context, caller, Some(&name("new")), text).await;
        assert!(matches!(refused, Err(TransitError::Refused(_))), "{refused:?}");
    }
    let other_tenant = w.f.somebody("other", "admin").await;
    let refused = transit
        .restore(&other_tenant.context, &other_tenant.caller, Some(&name("new")), &backup)
        .await;
    assert!(matches!(refused, Err(TransitError::Refused(_))));
}

#[tokio::test]
async fn policies_are_told_which_key_a_backup_brings_back_before_it_is_there() {
    let w = World::new().await;
    let exportable = SettingsUpdate { exportable: Some(true), ..SettingsUpdate::default() };
    let usual = SettingsUpdate::default();
    let settings = [("plain", usual), ("guarded", usual), ("wandering", exportable)];
    let mut backups = BTreeMap::new();
    let transit = w.f.transit();
    for (key, settings) in settings {
        w.create_with(key, TransitKeyType::Aes256Gcm96, settings).await;
        let Somebody { context, caller } = &w.admin;
        backups.insert(key, transit.back_up(context, caller, &name(key)).await.unwrap());
    }
    let restorer = w.f.somebody("default", "restorer").await;
    let restore = async |to: Option<&str>, backup: &str| {
        let to = to.map(name);
        let Somebody { context, caller } = &restorer;
        let before = w.f.store.scan(b"", None, 1000).await.unwrap().len();
        let done = transit.restore(context, caller, to.as_ref(), backup).await;
        let after = w.f.store.scan(b"", None, 1000).await.unwrap().len();
        assert_eq!(done.is_ok(), after > before);
        done.map(|(name, _)| name.to_string()).map_err(|error| error.to_string())
    };
    let code = || w.f.last_audited()["outcome"]["code"].clone();

    // Neither under its own name nor under another one.
    for to in [None, Some("guarded"), Some("innocent")] {
        restore(to, &backups["guarded"]).await.unwrap_err();
        assert_eq!(code(), "denied-by-rule", "{to:?}");
        restore(to, &backups["wandering"]).await.unwrap_err();
        assert_eq!(code(), "denied-by-rule", "{to:?}");
    }
    restore(Some("guarded"), &backups["plain"]).await.unwrap_err();
    assert_eq!(code(), "denied-by-rule");
    assert_eq!(restore(Some("copy"), &backups["plain"]).await.unwrap(), "copy");
    let line = w.f.last_audited();
    assert_eq!(line["resource"], "transit/copy,transit/plain");
    for (fact, value) in [
        ("backed-up-as", "plain"),
        ("key-type", "aes256-gcm96"),
        ("protection", "software"),
        ("exportable", "false"),
    ] {
        assert_eq!(line["details"][fact], value, "{fact}");
    }
    // Only clients that may restore learn whether something is a backup.
    let nobody = w.f.somebody("default", "reader").await;
    for text in [backups["plain"].as_str(), "nonsense"] {
        let refused = transit.restore(&nobody.context, &nobody.caller, None, text).await;
        assert!(matches!(refused, Err(TransitError::Gate(Refused::Denied(_)))), "{refused:?}");
    }
    // A rule that denies by an attribute applies if the attribute is unknown.
    restore(None, "nonsense").await.unwrap_err();
    assert_eq!(code(), "denied-by-rule");
    let Somebody { context, caller } = &w.admin;
    let told = transit.restore(context, caller, None, "nonsense").await.unwrap_err().to_string();
    assert!(told.contains("no backup of a key"), "{told}");
    assert_eq!(w.f.last_audited()["resource"], "transit/");
}

#[tokio::test]
async fn a_backup_is_restored_under_the_name_in_it_if_none_is_given() {
    let w = World::new().await;
    let allow = SettingsUpdate { deletion_allowed: Some(true), ..SettingsUpdate::default() };
    w.create_with("orders", TransitKeyType::Aes256Gcm96, allow).await;
    let made = w.encrypt("orders", "one").await.unwrap();
    let Somebody { context, caller } = &w.admin;
    let transit = w.f.transit();
    let backup = transit.back_up(context, caller, &name("orders")).await.unwrap();
    let taken = transit.restore(context, caller, None, &backup).await.unwrap_err();
    assert!(taken.to_string().contains("already"), "{taken}");
    w.delete("orders").await.unwrap();
    transit.purge(context, caller, &name("orders")).await.unwrap();
    let (restored, _) = transit.restore(context, caller, None, &backup).await.unwrap();
    assert_eq!(restored, name("orders"));
    assert_eq!(w.f.last_audited()["resource"], "transit/orders");
    assert_eq!(w.decrypt("orders", &made).await.unwrap(), "one");
}

/// Gives a key versions up to this one in the store, as after years of rotation, with private halves
/// as large as RSA's.
async fn with_versions(w: &World, key: &str, latest: u64) {
    let at = Key::new(format!("default/secrets/transit-key/transit/{key}")).unwrap();
    let record = w.f.store.get(&at).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&record.value).unwrap();
    let first = record["versions"]["1"].clone();
    for number in 2..=latest {
        let mut version = first.clone();
        let held_as = format!("transit-{number:032}");
        version["held_as"] = held_as.clone().into();
        record["versions"][number.to_string()] = version;
        let material = Key::new(format!("default/secrets/transit-material/{held_as}")).unwrap();
        w.f.store.commit(Commit::new().put(material, vec![1; 3550])).await.unwrap();
    }
    record["latest"] = latest.into();
    w.f.store.commit(Commit::new().put(at, record.to_string().into_bytes())).await.unwrap();
}

#[tokio::test]
async fn a_backup_that_is_too_large_for_one_commit_is_restored_and_none_is_made_that_could_not_be()
{
    let w = World::new().await;
    let Somebody { context, caller } = &w.admin;
    let transit = w.f.transit();
    w.create("large", TransitKeyType::Aes256Gcm96).await;
    let made = w.encrypt("large", "one").await.unwrap();
    with_versions(&w, "large", 4500).await;
    let backup = transit.back_up(context, caller, &name("large")).await.unwrap();
    assert!(backup.len() > 29_000_000, "{}", backup.len());
    let restored = transit.restore(context, caller, Some(&name("again")), &backup).await.unwrap().1;
    assert_eq!((restored.latest, w.materials().await), (4500, 9000));
    assert_eq!(w.decrypt("again", &made).await.unwrap(), "one");
    // Nothing is stored if the name is taken.
    let taken = transit.restore(context, caller, Some(&name("again")), &backup).await.unwrap_err();
    assert!(taken.to_string().contains("already"), "{taken}");
    assert_eq!(w.materials().await, 9000);
    with_versions(&w, "large", 5000).await;
    let refused = transit.back_up(context, caller, &name("large")).await.unwrap_err();
    assert!(refused.to_string().contains("longer than 30 MiB"), "{refused}");
}

#[tokio::test]
async fn a_data_key_is_shown_only_to_whom_policy_shows_it_and_nothing_secret_is_audited() {
    let w = World::new().await;
    w.create("orders", TransitKeyType::Aes256Gcm96).await;
    let Somebody { context, caller } = &w.admin;
    let transit = w.f.transit();
    let made = transit
        .make_data_key(context, caller, &name("orders"), 32, OaepHash::default(), true)
        .await
        .unwrap();
    let line = w.f.last_audited();
    assert_eq!(
        (&line["operation"], &line["details"]["shown"]),
        (&json!("crypto.make-data-key"), &json!(true))
    );
    let item = Encryption { associated: vec![], ..sealed(&made.ciphertext) };
    let opened = transit.decrypt(context, caller, &name("orders"), &[item]).await.unwrap();
    assert_eq!(*opened[0].as_ref().unwrap(), made.plaintext);
    w.encrypt("orders", "hunter2").await.unwrap();
    let log = String::from_utf8(w.f.sink.bytes()).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn two_changes_at_once_both_count_and_no_version_is_lost() {
    let w = World::new().await;
    w.create("orders", TransitKeyType::Aes256Gcm96).await;
    let first = w.encrypt("orders", "one").await.unwrap();
    let update = SettingsUpdate { deletion_allowed: Some(true), ..SettingsUpdate::default() };
    let (one, other, updated) =
        tokio::join!(w.rotate("orders"), w.rotate("orders"), w.update("orders", update));
    updated.unwrap();
    let outcomes = [one, other];
    let rotated = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    for lost in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(lost, TransitError::Contended), "{lost:?}");
    }
    let key = w.read("orders").await.unwrap();
    assert_eq!(key.latest, 1 + rotated);
    let settings = KeySettings { deletion_allowed: true, ..KeySettings::default() };
    assert_eq!(key.settings, settings);
    assert_eq!(w.materials().await as u64, key.latest);
    assert_eq!(w.decrypt("orders", &first).await.unwrap(), "one");
    let latest = w.encrypt("orders", "two").await.unwrap();
    assert_eq!(w.decrypt("orders", &latest).await.unwrap(), "two");
}
