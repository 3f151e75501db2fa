//! What somebody can do who may read and write the inner store, and what the barrier makes of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use std::path::Path;
use std::sync::Arc;

use chancery_files::Trusted;
use chancery_seal::{Barrier, OpenError, RootKey};
use chancery_store::memory::MemoryStore;
use chancery_store::redb::RedbStore;
use chancery_store::{Change, Commit, CommitError, Key, ReadError, SharedStore, Store};

const SECRET: &[u8] = b"correct horse battery staple, behind seven seals";

fn key(text: impl AsRef<str>) -> Key {
    Key::new(text.as_ref()).unwrap()
}

fn root(directory: &Path) -> RootKey {
    let path = directory.join("root.key");
    if path.exists() {
        RootKey::from_file(&path, &Trusted::process())
    } else {
        RootKey::create_file(&path)
    }
    .unwrap()
}

/// A barrier, the store that it is in front of, and the directory with its root key.
async fn sealed() -> (Arc<Barrier>, MemoryStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let inner = MemoryStore::new();
    let barrier = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
    (barrier, inner, directory)
}

async fn put(store: &dyn Store, at: &str, value: &[u8]) {
    store.commit(Commit::new().put(key(at), value.to_vec())).await.unwrap();
}

async fn raw(inner: &MemoryStore, at: &str) -> Vec<u8> {
    inner.get(&key(at)).await.unwrap().unwrap().value.to_vec()
}

/// The refusal to read `at`; fails unless it names that record and tells nothing of its value.
async fn refusal(store: &dyn Store, at: &str) -> String {
    let refused = store.get(&key(at)).await.unwrap_err();
    assert!(
        matches!(&refused, ReadError::Damaged { key, .. } if *key == self::key(at)),
        "{refused}"
    );
    let scanned = store.scan(at.as_bytes(), None, 1).await.unwrap_err();
    assert_eq!(scanned, refused);
    let message = refused.to_string();
    assert!(message.contains(at) && !message.contains("horse"), "{message}");
    message
}

#[tokio::test]
async fn nothing_in_the_clear_reaches_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let inner: SharedStore = Arc::new(RedbStore::open(&path).unwrap());
    let barrier = Barrier::open(inner.clone(), root(directory.path())).await.unwrap();
    put(&*inner, "unsealed/marker", b"this is how a value in the clear looks").await;
    for number in 0..50 {
        for tenant in ["_", "default", "other"] {
            put(&*barrier, &format!("{tenant}/kv/{number}"), &SECRET.repeat(1 + number * 7)).await;
        }
    }
    put(&*barrier, "default/kv/large", &SECRET.repeat(2_000)).await;
    for number in 0..25 {
        let delete = Commit::new().delete(key(format!("default/kv/{number}")));
        barrier.commit(delete).await.unwrap();
    }
    drop((barrier, inner));

    let file = std::fs::read(&path).unwrap();
    let contains = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"this is how a value in the clear looks"), "the search finds nothing at all");
    assert!(contains(b"default/kv/large"), "keys are in the clear");
    for at in (0..SECRET.len() - 8).step_by(4) {
        assert!(
            !contains(&SECRET[at..at + 8]),
            "{:?}",
            String::from_utf8_lossy(&SECRET[at..at + 8])
        );
    }
    let digits = std::fs::read_to_string(directory.path().join("root.key")).unwrap();
    assert!(!contains(digits.trim().as_bytes()));
}

#[tokio::test]
async fn flipped_cut_and_extended_records_are_refused_by_name() {
    let (barrier, inner, _directory) = sealed().await;
    put(&*barrier, "t/a", SECRET).await;
    let good = raw(&inner, "t/a").await;
    let mut bad = vec![Vec::new(), SECRET.to_vec(), [&good[..], b"x"].concat()];
    bad.extend((0..good.len()).map(|len| good[..len].to_vec()));
    bad.extend((0..good.len() * 8).map(|bit| {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    for value in bad {
        put(&inner, "t/a", &value).await;
        refusal(&*barrier, "t/a").await;
    }
    put(&inner, "t/a", &good).await;
    assert_eq!(barrier.get(&key("t/a")).await.unwrap().unwrap().value, SECRET);
}

#[tokio::test]
async fn a_record_in_the_place_of_another_is_refused() {
    let (barrier, inner, _directory) = sealed().await;
    for at in ["t/a", "t/b", "u/a"] {
        put(&*barrier, at, SECRET).await;
    }
    for (from, to) in [("t/a", "t/b"), ("t/a", "u/a"), ("u/a", "t/a"), ("t/b", "t/new")] {
        let there_before = inner.get(&key(to)).await.unwrap();
        put(&inner, to, &raw(&inner, from).await).await;
        let message = refusal(&*barrier, to).await;
        assert!(message.contains("in the place of another record"), "{message}");
        let restore = Commit::new().delete(key(to));
        let restore = match there_before {
            Some(record) => restore.put(key(to), record.value),
            None => restore,
        };
        inner.commit(restore).await.unwrap();
    }
}

#[tokio::test]
async fn one_bad_record_does_not_spoil_its_neighbours() {
    let (barrier, inner, _directory) = sealed().await;
    for at in ["t/a", "t/b", "t/c"] {
        put(&*barrier, at, SECRET).await;
    }
    put(&inner, "t/b", b"rubbish").await;
    refusal(&*barrier, "t/b").await;
    assert!(barrier.get(&key("t/a")).await.unwrap().is_some());
    assert!(barrier.get(&key("t/c")).await.unwrap().is_some());
    // And it can be replaced and deleted.
    put(&*barrier, "t/b", b"new").await;
    assert_eq!(barrier.scan(b"t/", None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tenant_key_that_was_changed_or_moved_is_refused_by_name() {
    let (barrier, inner, directory) = sealed().await;
    put(&*barrier, "t/a", SECRET).await;
    put(&*barrier, "u/a", SECRET).await;
    let (t, u) = ("_/seal/key/t/00000001", "_/seal/key/u/00000001");
    let good = raw(&inner, t).await;
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [flipped, raw(&inner, u).await, Vec::new(), b"0123456789abcdef".repeat(2)] {
        put(&inner, t, &bad).await;
        // A barrier that has not loaded it yet.
        let fresh = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
        let refused = fresh.get(&key("t/a")).await.unwrap_err();
        assert!(refused.to_string().contains(t), "{refused}");
        let refused = fresh.commit(Commit::new().put(key("t/b"), "x")).await.unwrap_err();
        assert!(refused.to_string().contains(t), "{refused}");
        assert!(fresh.get(&key("u/a")).await.unwrap().is_some(), "another tenant is not concerned");
    }
    // A tenant whose keys are gone does not silently get new ones for its old records.
    inner.commit(Commit::new().delete(key(t))).await.unwrap();
    let fresh = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
    assert!(refusal(&*fresh, "t/a").await.contains("does not exist"));
    put(&inner, t, &good).await;
    assert_eq!(fresh.get(&key("t/a")).await.unwrap().unwrap().value, SECRET);
}

#[tokio::test]
async fn after_a_rotation_old_records_open_as_they_are() {
    let (barrier, inner, directory) = sealed().await;
    let other = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
    for at in ["t/old", "u/old"] {
        put(&*barrier, at, SECRET).await;
    }
    let old = raw(&inner, "t/old").await;
    assert!(other.get(&key("t/old")).await.unwrap().is_some(), "has loaded the first key");
    assert_eq!(barrier.rotate(b"t").await, Ok(2));
    put(&*barrier, "t/new", SECRET).await;
    put(&*barrier, "u/new", SECRET).await;

    let key_id = |sealed: Vec<u8>| u32::from_be_bytes(sealed[1..5].try_into().unwrap());
    assert_eq!(raw(&inner, "t/old").await, old, "nothing was rewritten");
    assert_eq!(key_id(old), 1);
    assert_eq!(key_id(raw(&inner, "t/new").await), 2);
    assert_eq!(key_id(raw(&inner, "u/new").await), 1, "another tenant's key is not concerned");

    let reopened = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
    for store in [&barrier, &other, &reopened] {
        for at in ["t/old", "t/new", "u/old", "u/new"] {
            assert_eq!(store.get(&key(at)).await.unwrap().unwrap().value, SECRET);
        }
    }
    assert_eq!(other.rotate(b"t").await, Ok(3), "and not over the key of the first process");
    assert_eq!(barrier.rotate(b"new tenant").await, Ok(1));
}

#[tokio::test]
async fn tenants_have_keys_of_their_own() {
    let (barrier, inner, _directory) = sealed().await;
    for tenant in ["t", "u", "_"] {
        put(&*barrier, &format!("{tenant}/a"), SECRET).await;
    }
    let keys = inner.scan(b"_/seal/key/", None, 10).await.unwrap();
    let names: Vec<_> = keys.iter().map(|record| record.key.to_string()).collect();
    assert_eq!(names, ["_/seal/key/_/00000001", "_/seal/key/t/00000001", "_/seal/key/u/00000001"]);
}

#[tokio::test]
async fn two_processes_that_meet_a_new_tenant_agree_on_its_key() {
    let (barrier, inner, directory) = sealed().await;
    let other = Barrier::open(Arc::new(inner.clone()), root(directory.path())).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32 {
        let store = if number % 2 == 0 { barrier.clone() } else { other.clone() };
        tasks.spawn(async move { put(&*store, &format!("t/{number}"), SECRET).await });
    }
    tasks.join_all().await;
    for store in [&barrier, &other] {
        assert_eq!(store.scan(b"t/", None, 100).await.unwrap().len(), 32);
    }
}

#[tokio::test]
async fn the_seals_own_records_cannot_be_reached_through_it() {
    let (barrier, inner, _directory) = sealed().await;
    let mut watch = barrier.watch(b"");
    put(&*barrier, "_/a", b"x").await;
    put(&*barrier, "_/z", b"x").await;
    let (check, tenant_key) = (key("_/seal/check"), key("_/seal/key/_/00000001"));
    assert!(inner.get(&check).await.unwrap().is_some());
    for at in [&check, &tenant_key] {
        let reserved = ReadError::Reserved { key: at.clone() };
        assert_eq!(barrier.get(at).await, Err(reserved));
        let reserved = Err(CommitError::Reserved { key: at.clone() });
        for commit in [
            Commit::new().put(at.clone(), "x"),
            Commit::new().delete(at.clone()),
            Commit::new().check_absent(at.clone()),
        ] {
            assert_eq!(barrier.commit(commit.put(key("_/b"), "x")).await, reserved);
        }
    }
    for limit in 1..4 {
        let found = barrier.scan(b"_/", None, limit).await.unwrap();
        let names: Vec<_> = found.iter().map(|record| record.key.to_string()).collect();
        assert_eq!(names, ["_/a", "_/z"][..limit.min(2)]);
    }
    assert_eq!(barrier.scan(b"_/seal/", None, 10).await.unwrap(), []);
    let seen = [watch.try_next(), watch.try_next()].map(|change| match change {
        Some(Change::Put { key, .. }) => key.to_string(),
        other => format!("{other:?}"),
    });
    assert_eq!(seen, ["_/a", "_/z"]);
    assert_eq!(watch.try_next(), None);
}

#[tokio::test]
async fn another_root_key_is_refused_with_its_origin() {
    let (barrier, inner, directory) = sealed().await;
    put(&*barrier, "t/a", SECRET).await;
    let other = RootKey::create_file(&directory.path().join("other.key")).unwrap();
    let refused = Barrier::open(Arc::new(inner.clone()), other).await.unwrap_err();
    assert!(matches!(refused, OpenError::WrongRootKey { .. }), "{refused:?}");
    assert!(refused.to_string().contains("other.key"), "{refused}");
    Barrier::open(Arc::new(inner), root(directory.path())).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_never_sealed_or_lost_its_check_is_refused() {
    let (barrier, inner, directory) = sealed().await;
    put(&*barrier, "t/a", SECRET).await;
    inner.commit(Commit::new().delete(key("_/seal/check"))).await.unwrap();
    let clear = MemoryStore::new();
    put(&clear, "t/a", b"in the clear").await;
    for store in [inner, clear] {
        let refused = Barrier::open(Arc::new(store), root(directory.path())).await.unwrap_err();
        assert!(matches!(refused, OpenError::NotSealed { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_passed_on() {
    let (barrier, inner, _directory) = sealed().await;
    inner.set_full(true);
    let refused = barrier.commit(Commit::new().put(key("t/a"), "x")).await;
    assert_eq!(refused, Err(CommitError::Full));
    inner.set_full(false);
    put(&*barrier, "t/a", b"x").await;
}

#[tokio::test]
async fn neither_the_barrier_nor_what_it_reads_shows_secrets() {
    let (barrier, _inner, _directory) = sealed().await;
    put(&*barrier, "t/a", SECRET).await;
    let record = barrier.get(&key("t/a")).await.unwrap();
    let shown = format!("{barrier:?} {record:?}");
    assert!(shown.contains("t/a") && !shown.contains("horse"), "{shown}");
}
