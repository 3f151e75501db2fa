//! The root key wrapped by a key in SoftHSM.
//!
//! SoftHSM reads where its tokens are from the environment, and a module exists once per process, so
//! the test starts this binary again for itself alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chancery_files::Trusted;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenConfig, TokenSelector, Usage};
use chancery_keys::{KeyName, KeyType};
use chancery_seal::{Barrier, NewRoot, OpenError, RootKey, RootKeyError, rekey};
use chancery_store::memory::MemoryStore;
use chancery_store::{
    BoxFuture, Commit, CommitError, Key, ReadError, Record, Store, Version, Watch,
};
use zeroize::Zeroizing;

const LABEL: &str = "chancery-seal-test";
const PIN: &str = "161803";
const WORK: &str = "CHANCERY_SEAL_TEST_DIR";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

#[test]
fn a_token_keeps_the_root_key_from_everybody_else() {
    let name = "a_token_keeps_the_root_key_from_everybody_else";
    if let Some(directory) = std::env::var_os(WORK) {
        with_token();
        std::fs::write(Path::new(&directory).join("finished"), name).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("softhsm2.conf");
    std::fs::create_dir(directory.path().join("tokens")).unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display()))
        .unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "314159"])
        .env("SOFTHSM2_CONF", &configuration)
        .stdout(Stdio::null())
        .status()
        .expect("softhsm2-util is not installed: this test needs the package softhsm2");
    assert!(made.success());
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(WORK, directory.path())
        .status()
        .unwrap();
    assert!(ran.success(), "{ran}");
    assert!(directory.path().join("finished").exists(), "the test did not run in its process");
}

#[tokio::main]
async fn with_token() {
    let module = MODULES.map(PathBuf::from).into_iter().find(|path| path.exists());
    let module = module.expect("SoftHSM is not installed: this test needs the package softhsm2");
    let pin = Zeroizing::new(PIN.to_owned());
    let token = TokenConfig::new(module, TokenSelector::Label(LABEL.to_owned()), pin);
    let mut config = Pkcs11Config::new(vec![token]);
    config.deadline = Duration::from_mins(1);
    let token = Pkcs11Signer::open(config).unwrap();
    let (sealing, other): (KeyName, KeyName) = ("seal".parse().unwrap(), "other".parse().unwrap());
    let (inner, at) = (MemoryStore::new(), Key::new("t/a").unwrap());

    let root = RootKey::from_pkcs11(&token, &sealing, &inner).await.unwrap();
    assert!(token.contains(&sealing));
    let barrier = Barrier::open(Arc::new(inner.clone()), root).await.unwrap();
    barrier.commit(Commit::new().put(at.clone(), "secret")).await.unwrap();

    // The next start gets the same key from the token.
    let root = RootKey::from_pkcs11(&token, &sealing, &inner).await.unwrap();
    assert!(root.origin().contains("seal"));
    let barrier = Barrier::open(Arc::new(inner.clone()), root).await.unwrap();
    assert_eq!(&barrier.get(&at).await.unwrap().unwrap().value[..], b"secret");

    // An RSA key does it too, for tokens without AES.
    let rsa: KeyName = "rsa-seal".parse().unwrap();
    token.generate_for(&rsa, KeyType::Rsa2048, Usage::DECRYPT).await.unwrap();
    let by_rsa = MemoryStore::new();
    let root = RootKey::from_pkcs11(&token, &rsa, &by_rsa).await.unwrap();
    let barrier = Barrier::open(Arc::new(by_rsa.clone()), root).await.unwrap();
    barrier.commit(Commit::new().put(at.clone(), "secret")).await.unwrap();
    let root = RootKey::from_pkcs11(&token, &rsa, &by_rsa).await.unwrap();
    let barrier = Barrier::open(Arc::new(by_rsa.clone()), root).await.unwrap();
    assert_eq!(&barrier.get(&at).await.unwrap().unwrap().value[..], b"secret");

    // Another key of the token is not it, and says so.
    let refused = RootKey::from_pkcs11(&token, &other, &inner).await.unwrap_err();
    assert!(matches!(refused, RootKeyError::OtherKey { .. }), "{refused:?}");
    assert!(!token.contains(&other), "and none was made");

    // One that was made for a store that then cannot be written does not stay.
    let refused = RootKey::from_pkcs11(&token, &other, &FullStore(MemoryStore::new())).await;
    assert!(matches!(refused, Err(RootKeyError::Commit(CommitError::Full))), "{refused:?}");
    assert!(!token.contains(&other), "a key is left behind");
    RootKey::from_pkcs11(&token, &other, &MemoryStore::new()).await.unwrap();
    let refused = RootKey::from_pkcs11(&token, &other, &FullStore(MemoryStore::new())).await;
    assert!(refused.is_err() && token.contains(&other), "a key of before is gone");
    token.destroy(&other).await.unwrap();

    // What another store's root key was wrapped to does not open this one.
    let elsewhere = MemoryStore::new();
    RootKey::from_pkcs11(&token, &sealing, &elsewhere).await.unwrap();
    let wrapped = Key::new("_/seal/wrapped-root").unwrap();
    let foreign = elsewhere.get(&wrapped).await.unwrap().unwrap().value;
    let own = inner.get(&wrapped).await.unwrap().unwrap().value;
    inner.commit(Commit::new().put(wrapped.clone(), foreign)).await.unwrap();
    let root = RootKey::from_pkcs11(&token, &sealing, &inner).await.unwrap();
    let refused = Barrier::open(Arc::new(inner.clone()), root).await.unwrap_err();
    assert!(matches!(refused, OpenError::WrongRootKey { .. }), "{refused:?}");

    // Nor does one that was changed.
    let text = String::from_utf8(own.to_vec()).unwrap();
    let (head, tail) = text.split_at(text.len() - 3);
    let changed = format!("{head}{}\"}}", if tail.starts_with('0') { "1" } else { "0" });
    inner.commit(Commit::new().put(wrapped, changed)).await.unwrap();
    let refused = RootKey::from_pkcs11(&token, &sealing, &inner).await.unwrap_err();
    assert!(matches!(refused, RootKeyError::Token(_)), "{refused:?}");

    change_root_keys(&token).await;
    tokio::task::spawn_blocking(move || token.shutdown()).await.unwrap();
}

/// A store on a disk without room.
struct FullStore(MemoryStore);

impl Store for FullStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        self.0.get(key)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        self.0.scan(prefix, after, limit)
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        self.0.keys(prefix, after, limit)
    }

    fn commit(&self, _: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        Box::pin(async { Err(CommitError::Full) })
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.0.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<jiff::Timestamp, ReadError>> {
        self.0.now()
    }
}

/// From a file into the token, to another key of the token, and out again.
async fn change_root_keys(token: &Pkcs11Signer) {
    let directory = tempfile::tempdir().unwrap();
    let file =
        |name: &str| NewRoot::from_file(&directory.path().join(name), &Trusted::process()).unwrap();
    let (store, at) = (MemoryStore::new(), Key::new("t/a").unwrap());
    let sealed = Barrier::open(Arc::new(store.clone()), file("first").into_key()).await.unwrap();
    sealed.commit(Commit::new().put(at.clone(), "secret")).await.unwrap();
    let opens = async |root: RootKey| {
        let opened = Barrier::open(Arc::new(store.clone()), root).await?;
        assert_eq!(opened.get(&at).await.unwrap().unwrap().value, "secret");
        Ok::<_, OpenError>(())
    };

    let (one, other): (KeyName, KeyName) = ("root-1".parse().unwrap(), "root-2".parse().unwrap());
    let wrapped = NewRoot::from_pkcs11(token, &one).await.unwrap();
    rekey(&store, file("first").key(), &wrapped).await.unwrap();
    opens(RootKey::from_pkcs11(token, &one, &store).await.unwrap()).await.unwrap();
    let refused = opens(file("first").into_key()).await.unwrap_err();
    assert!(matches!(refused, OpenError::WrongRootKey { .. }), "{refused:?}");

    // Another key of the token wraps another root key; the same one too, if it is asked to.
    for name in [&other, &other] {
        let current = match RootKey::from_pkcs11(token, &one, &store).await {
            Ok(current) => current,
            Err(_) => RootKey::from_pkcs11(token, &other, &store).await.unwrap(),
        };
        let next = NewRoot::from_pkcs11(token, name).await.unwrap();
        rekey(&store, &current, &next).await.unwrap();
        let refused = RootKey::from_pkcs11(token, &one, &store).await.unwrap_err();
        assert!(matches!(refused, RootKeyError::OtherKey { .. }), "{refused:?}");
        opens(RootKey::from_pkcs11(token, &other, &store).await.unwrap()).await.unwrap();
        opens(current).await.unwrap_err();
    }

    let current = RootKey::from_pkcs11(token, &other, &store).await.unwrap();
    rekey(&store, &current, &file("second")).await.unwrap();
    opens(file("second").into_key()).await.unwrap();
    let wrapped = Key::new("_/seal/wrapped-root").unwrap();
    assert_eq!(store.get(&wrapped).await.unwrap(), None, "nothing is left of it");
}
