//! Backups of a store that is being written to, and stores that are made of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chancery_files::Trusted;
use chancery_seal::backup::{
    BackupError, BackupHeader, BackupReader, Written, restore, write_backup,
};
use chancery_seal::{Barrier, RootKey};
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, Key, Store};
use tempfile::TempDir;
use tokio::sync::mpsc::channel;

struct Site {
    directory: TempDir,
    raw: Arc<RedbStore>,
    barrier: Arc<Barrier>,
}

fn key(text: String) -> Key {
    Key::new(text).unwrap()
}

fn root(directory: &Path) -> RootKey {
    RootKey::from_file(&directory.join("root.key"), &Trusted::process()).unwrap()
}

impl Site {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        RootKey::create_file(&directory.path().join("root.key")).unwrap();
        let raw = Arc::new(RedbStore::open(&directory.path().join("store")).unwrap());
        let barrier = Barrier::open(raw.clone(), root(directory.path())).await.unwrap();
        Self { directory, raw, barrier }
    }

    async fn backup(&self) -> (Vec<u8>, Written) {
        let state = self.raw.freeze().unwrap();
        let header = BackupHeader {
            created: "2026-01-01T00:00:00Z".to_owned(),
            program: "0.1.0".to_owned(),
            newest: state.newest().get(),
        };
        let (out, mut pieces) = channel(1);
        let barrier = self.barrier.clone();
        let writing =
            tokio::spawn(async move { write_backup(&barrier, state, &header, &out).await });
        let mut backup = Vec::new();
        while let Some(piece) = pieces.recv().await {
            backup.extend_from_slice(&piece);
        }
        (backup, writing.await.unwrap().unwrap().unwrap())
    }

    fn restored(&self, backup: &[u8]) -> Result<Arc<RedbStore>, BackupError> {
        let path = self.directory.path().join("restored");
        let mut reader = BackupReader::open(backup)?;
        restore(&mut reader, &path)?.authenticate(&root(self.directory.path()))?;
        Ok(Arc::new(RedbStore::open(&path).unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_state_however_much_is_written_meanwhile() {
    let site = Site::new().await;
    // A commit writes two records that have to agree, far apart in the order of keys.
    let write = |n: u64| {
        Commit::new()
            .put(key(format!("a/{}", n % 500)), n.to_string())
            .put(key(format!("z/{}", n % 500)), n.to_string())
    };
    for n in 0..500 {
        site.barrier.commit(write(n)).await.unwrap();
    }
    let ended = Arc::new(AtomicBool::new(false));
    let writer = {
        let (barrier, ended) = (site.barrier.clone(), ended.clone());
        tokio::spawn(async move {
            let mut n = 500;
            while !ended.load(Ordering::Relaxed) {
                barrier.commit(write(n)).await.unwrap();
                n += 1;
            }
            n
        })
    };
    let (backup, Written { records, damaged }) = site.backup().await;
    ended.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(written > 500, "nothing was written meanwhile");

    let raw = site.restored(&backup).unwrap();
    let newest = raw.freeze().unwrap().newest();
    let barrier = Barrier::open(raw, root(site.directory.path())).await.unwrap();
    for n in 0..500 {
        let read = |prefix| {
            let (barrier, key) = (barrier.clone(), key(format!("{prefix}/{n}")));
            async move { barrier.get(&key).await.unwrap().unwrap() }
        };
        let (first, last) = (read("a").await, read("z").await);
        assert_eq!((first.value, first.version), (last.value, last.version), "pair {n}");
        assert!(last.version <= newest);
    }
    // The two records of each pair, the keys of the tenants, and what tells the root key.
    assert!(records >= 1003, "{records}");
    assert_eq!(damaged, 0);
    // What is written to it is newer than everything in it.
    let version = barrier.commit(write(0)).await.unwrap();
    assert!(version > newest, "{version} is not after {newest}");
}

#[tokio::test]
async fn a_backup_that_was_interrupted_or_changed_does_not_become_a_store() {
    let site = Site::new().await;
    site.barrier.commit(Commit::new().put(key("t/a".into()), "secret")).await.unwrap();
    let (backup, _) = site.backup().await;
    let cut = site.restored(&backup[..backup.len() / 2]).unwrap_err();
    assert!(matches!(cut, BackupError::CutShort { .. }), "{cut}");
    std::fs::remove_file(site.directory.path().join("restored")).unwrap();
    let store = site.restored(&backup).unwrap();
    drop(store);
    let there = site.restored(&backup).unwrap_err();
    assert!(matches!(there, BackupError::Store(_)), "{there}");
    assert!(!backup.windows(6).any(|window| window == b"secret"), "a secret is in the clear");
}

#[tokio::test]
async fn a_record_that_does_not_open_is_counted_and_the_rest_is_backed_up() {
    let site = Site::new().await;
    let at = |name: &str| key(format!("t/{name}"));
    for name in ["a", "b", "c"] {
        site.barrier.commit(Commit::new().put(at(name), name.to_owned())).await.unwrap();
    }
    site.raw.commit(Commit::new().put(at("b"), "not sealed")).await.unwrap();
    let (backup, written) = site.backup().await;
    assert_eq!(written.damaged, 1);
    let mut reader = BackupReader::open(&backup[..]).unwrap();
    while reader.next_record().unwrap().is_some() {}
    assert_eq!(reader.end().unwrap().damaged, 1);
    let raw = site.restored(&backup).unwrap();
    let barrier = Barrier::open(raw, root(site.directory.path())).await.unwrap();
    assert_eq!(&*barrier.get(&at("a")).await.unwrap().unwrap().value, b"a");
    assert_eq!(&*barrier.get(&at("c")).await.unwrap().unwrap().value, b"c");
    let refused = barrier.get(&at("b")).await.unwrap_err().to_string();
    assert!(refused.contains("t/b"), "{refused}");
}
