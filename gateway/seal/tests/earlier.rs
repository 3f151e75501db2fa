//! A store that an earlier release sealed: one that did not count the uses of keys, and kept no id of the root key.
//!
//! `fixtures/before-use-counts.txt` was written by that release, with the root key 00 01 02 … 1f: two keys for the
//! tenant `a`, one for `b`.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use chancery_files::Trusted;
use chancery_seal::{Barrier, NewRoot, RootKey, rekey};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Key, Store as _};

const EARLIER: &str = include_str!("fixtures/before-use-counts.txt");

const RECORDS: [(&str, &str); 3] = [
    ("a/one", "under the first key"),
    ("a/two", "under the second key"),
    ("b/one", "of another tenant"),
];

async fn earlier() -> MemoryStore {
    let store = MemoryStore::new();
    for line in EARLIER.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        let put = Commit::new().put(Key::new(key).unwrap(), hex::decode(value).unwrap());
        store.commit(put).await.unwrap();
    }
    store
}

fn root(directory: &tempfile::TempDir) -> RootKey {
    let path = directory.path().join("root");
    std::fs::write(&path, (0..32).collect::<Vec<u8>>()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    RootKey::from_file(&path, &Trusted::process()).unwrap()
}

async fn read_all(barrier: &Barrier) {
    for (key, value) in RECORDS {
        let record = barrier.get(&Key::new(key).unwrap()).await.unwrap().unwrap();
        assert_eq!(record.value, value);
    }
}

#[tokio::test]
async fn what_an_earlier_release_sealed_opens_and_goes_on_under_keys_that_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = earlier().await;
    for keys in [["a/00000003", "b/00000002"], ["a/00000003", "b/00000002"]] {
        let barrier = Barrier::open(Arc::new(store.clone()), root(&directory)).await.unwrap();
        read_all(&barrier).await;
        for tenant in ["a", "b"] {
            let at = Key::new(format!("{tenant}/more")).unwrap();
            barrier.commit(Commit::new().put(at, "more")).await.unwrap();
        }
        for key in keys {
            let made = Key::new(format!("_/seal/key/{key}")).unwrap();
            assert!(store.get(&made).await.unwrap().is_some(), "{key}");
        }
        // Once is enough.
        let next = Key::new("_/seal/key/a/00000004").unwrap();
        assert!(store.get(&next).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn its_root_key_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let store = earlier().await;
    let new = NewRoot::from_file(&directory.path().join("new"), &Trusted::process()).unwrap();
    assert_eq!(rekey(&store, &root(&directory), &new).await.unwrap(), 3);
    Barrier::open(Arc::new(store.clone()), root(&directory)).await.unwrap_err();
    let barrier = Barrier::open(Arc::new(store), new.into_key()).await.unwrap();
    read_all(&barrier).await;
}
