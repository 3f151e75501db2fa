//! The root key of a store is changed, and the power goes at any moment.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_files::Trusted;
use chancery_seal::{Barrier, NewRoot, OpenError, RootKey, rekey};
use chancery_store::redb::disk::Disk;
use chancery_store::{Commit, Key, Store as _};

const TENANTS: u32 = 40;

struct Keys {
    _directory: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        RootKey::create_file(&old).unwrap();
        RootKey::create_file(&new).unwrap();
        Self { _directory: directory, old, new }
    }

    fn root(path: &Path) -> RootKey {
        RootKey::from_file(path, &Trusted::process()).unwrap()
    }
}

fn place(tenant: u32) -> Key {
    Key::new(format!("tenant-{tenant}/secret")).unwrap()
}

/// A disk with a store on it that is sealed with the old key.
async fn sealed(keys: &Keys) -> Vec<u8> {
    let disk = Disk::default();
    let barrier = Barrier::open(Arc::new(disk.open()), Keys::root(&keys.old)).await.unwrap();
    for tenant in 0..TENANTS {
        barrier.commit(Commit::new().put(place(tenant), tenant.to_string())).await.unwrap();
    }
    drop(barrier);
    disk.image()
}

/// Whether the store opens with a root key; if so, everything in it has to.
async fn opens(image: &[u8], root: &Path) -> bool {
    let store = Arc::new(Disk::holding(image.to_vec()).open());
    match Barrier::open(store, Keys::root(root)).await {
        Ok(barrier) => {
            for tenant in 0..TENANTS {
                let record = barrier.get(&place(tenant)).await.unwrap().unwrap();
                assert_eq!(record.value, tenant.to_string());
            }
            let more = Commit::new().put(place(TENANTS), "more");
            barrier.commit(more).await.unwrap();
            true
        }
        Err(OpenError::WrongRootKey { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn whenever_the_power_goes_the_store_opens_with_one_of_the_two_root_keys() {
    let keys = Keys::new();
    let image = sealed(&keys).await;
    let new = NewRoot::from_file(&keys.new, &Trusted::process()).unwrap();
    let whole = Disk::holding(image.clone());
    let store = whole.open();
    let before = whole.operations();
    assert_eq!(rekey(&store, &Keys::root(&keys.old), &new).await.unwrap(), TENANTS as usize);
    let operations = whole.operations() - before;
    assert!(operations > 3, "{operations}");

    let (mut old, mut done) = (0, 0);
    // The last cut comes after it, while the store is closed.
    for cut in 1..=operations + 1 {
        let disk = Disk::holding(image.clone());
        let store = disk.open();
        disk.faults(|faults| faults.power_cut = Some(before + cut));
        let changed = rekey(&store, &Keys::root(&keys.old), &new).await.is_ok();
        drop(store);
        for seed in 0..3 {
            let image = disk.after_power_cut(seed * 1000 + cut);
            let with = (opens(&image, &keys.old).await, opens(&image, &keys.new).await);
            assert!(with == (true, false) || with == (false, true), "cut {cut}: {with:?}");
            assert!(with.1 || !changed, "cut {cut}: what was acknowledged is lost");
            old += usize::from(with.0);
            done += usize::from(with.1);
        }
    }
    assert!(old > 0 && done > 0, "{old} and {done}: no cut was in the middle");
}
