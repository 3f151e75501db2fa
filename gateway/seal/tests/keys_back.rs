//! Keys of tenants come back from a backup into a store that lacks them, and the power goes at any moment.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;

use chancery_files::Trusted;
use chancery_seal::{Barrier, Census, RootKey, mend_check};
use chancery_store::redb::RedbStore;
use chancery_store::redb::disk::Disk;
use chancery_store::{Commit, Key, Record, Store as _};

const TENANTS: [&str; 3] = ["_", "a", "b"];

struct World {
    directory: tempfile::TempDir,
    /// A store without its keys, and without what shows the root key.
    damaged: Vec<u8>,
    backup: Vec<Record>,
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        RootKey::create_file(&directory.path().join("root")).unwrap();
        let mut world = Self { directory, damaged: vec![], backup: vec![] };
        let disk = Disk::default();
        let store = Arc::new(disk.open());
        let barrier = Barrier::open(store.clone(), world.root()).await.unwrap();
        for number in 1..=2 {
            for tenant in TENANTS {
                let at = key(&format!("{tenant}/{number}"));
                barrier.commit(Commit::new().put(at.clone(), format!("{at}"))).await.unwrap();
            }
            barrier.rotate_all().await.unwrap();
        }
        world.backup = store.scan(b"", None, 1000).await.unwrap();
        let mut damage = Commit::new();
        for record in &world.backup {
            if record.key.as_bytes().starts_with(b"_/seal/") {
                damage = damage.delete(record.key.clone());
            }
        }
        store.commit(damage).await.unwrap();
        drop((barrier, store));
        world.damaged = disk.image();
        world
    }

    fn root(&self) -> RootKey {
        RootKey::from_file(&self.directory.path().join("root"), &Trusted::process()).unwrap()
    }

    /// What a repair does; none if it was stopped.
    async fn repair(&self, store: Arc<RedbStore>) -> Option<()> {
        let expected = TENANTS.map(key).into();
        let census =
            Census::of(&store.freeze().ok()?, &self.root(), expected, self.backup.clone()).ok()?;
        assert!(census.shows_root());
        assert_eq!(census.lost(), []);
        let mut commit = Commit::new();
        for record in census.fitting() {
            commit = commit.put(record.key, record.value);
        }
        store.commit(commit).await.ok()?;
        mend_check(&*store, &self.root()).await.ok()?;
        let barrier = Barrier::open(store.clone(), self.root()).await.ok()?;
        for (tenant, last) in census.renewals() {
            barrier.renew(tenant.as_bytes(), last).await.ok()?;
        }
        let at = key("_/restored");
        barrier.commit(Commit::new().put(at, "7")).await.ok().map(drop)
    }
}

#[tokio::test]
async fn whenever_the_power_goes_the_next_run_opens_everything() {
    let world = World::new().await;
    let whole = Disk::holding(world.damaged.clone());
    let store = Arc::new(whole.open());
    let before = whole.operations();
    world.repair(store.clone()).await.unwrap();
    drop(store);
    let operations = whole.operations() - before;
    assert!(operations > 10, "{operations}");

    let mut stopped = 0;
    for cut in 1..=operations + 1 {
        let disk = Disk::holding(world.damaged.clone());
        let store = Arc::new(disk.open());
        disk.faults(|faults| faults.power_cut = Some(before + cut));
        stopped += usize::from(world.repair(store.clone()).await.is_none());
        drop(store);
        for seed in 0..3 {
            let store = Arc::new(Disk::holding(disk.after_power_cut(seed * 1000 + cut)).open());
            world.repair(store.clone()).await.unwrap();
            let barrier = Barrier::open(store.clone(), world.root()).await.unwrap();
            for tenant in TENANTS {
                for number in 1..=2 {
                    let at = key(&format!("{tenant}/{number}"));
                    let record = barrier.get(&at).await.unwrap().unwrap();
                    assert_eq!(record.value, format!("{at}"), "cut {cut}");
                }
                barrier.rotate(tenant.as_bytes()).await.unwrap();
            }
            // What the backup has is as it has it: no new key took its place.
            for record in &world.backup {
                if chancery_seal::is_tenant_key(&record.key) {
                    let now = store.get(&record.key).await.unwrap().unwrap();
                    assert_eq!(now.value, record.value, "cut {cut}: {}", record.key);
                }
            }
        }
    }
    assert!(stopped > 10, "{stopped}: no cut was in the middle");
}
