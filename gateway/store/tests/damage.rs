//! A file that a disk, a controller or a hand has changed: it is refused or as it was, and nothing panics.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chancery_store::redb::{Gap, Integrity, Readable, RedbOptions, RedbStore, peek, verify};
use chancery_store::{Commit, CommitError, Key, OpenError, ReadError, Record, Store as _};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

const PAGE: usize = 4096;

type Records = BTreeMap<Key, Record>;

fn key(number: usize) -> Key {
    Key::new(format!("t/{number:06}")).unwrap()
}

/// A file that was closed in order, with what is in it.
struct Stored {
    directory: TempDir,
    records: Records,
    whole: Vec<u8>,
}

impl Stored {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&directory.path().join("store.redb")).unwrap();
        for round in 0..16_u8 {
            let put = |commit: Commit, number: usize| {
                commit.put(key(usize::from(round) * 37 + number), vec![round; 40 + number * 3])
            };
            store.commit((0..100).fold(Commit::new(), put)).await.unwrap();
        }
        let records = all(&store).await.unwrap();
        drop(store);
        let whole = std::fs::read(directory.path().join("store.redb")).unwrap();
        Self { directory, records, whole }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store.redb")
    }

    fn write(&self, image: &[u8]) {
        std::fs::write(self.path(), image).unwrap();
    }

    /// The file with these pages gone.
    fn without(&self, pages: &[usize]) -> Vec<u8> {
        let mut image = self.whole.clone();
        for at in pages {
            image[*at..*at + PAGE].fill(0);
        }
        image
    }

    /// Where the pages are with records that are in use, in the order of these.
    fn leaves(&self) -> Vec<usize> {
        let mut leaves = BTreeMap::new();
        for (number, page) in self.whole.chunks(PAGE).enumerate().skip(1) {
            if !page.windows(4).any(|bytes| bytes == b"t/00") {
                continue;
            }
            self.write(&self.without(&[number * PAGE]));
            let Ok(readable) = Readable::open(&self.path()) else { continue };
            if let [Gap { after, before: Some(_) }] = &readable.walk(|_| {})[..] {
                leaves.insert(after.clone(), number * PAGE);
            }
        }
        leaves.into_values().collect()
    }
}

async fn all(store: &RedbStore) -> Result<Records, ReadError> {
    let found = store.scan(b"", None, 100_000).await?;
    Ok(found.into_iter().map(|record| (record.key.clone(), record)).collect())
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Sector(usize, u8),
    /// Another page of the file, as a write that went astray leaves it.
    Astray(usize, usize),
    Cut(usize),
    Longer(usize),
}

impl Damage {
    fn done(&self, whole: &[u8]) -> Vec<u8> {
        let mut image = whole.to_vec();
        match *self {
            Self::Flip(at, bit) => image[at % whole.len()] ^= 1 << bit,
            Self::Sector(at, byte) => {
                let at = at % whole.len() / 512 * 512;
                image[at..at + 512].fill(byte);
            }
            Self::Astray(from, to) => {
                let [from, to] = [from, to].map(|at| at % whole.len() / PAGE * PAGE);
                image.copy_within(from..from + PAGE, to);
            }
            Self::Cut(length) => image.truncate(length % whole.len()),
            Self::Longer(by) => image.resize(whole.len() + by, 0),
        }
        image
    }
}

/// Most of the file is not in use: half of the damage is where something is.
fn damage(used: Vec<usize>, length: usize) -> impl Strategy<Value = Damage> {
    let page = proptest::sample::select(used);
    let somewhere = (page, 0..PAGE).prop_map(|(page, at)| page + at);
    let at = prop_oneof![3 => somewhere, 1 => 0..320_usize, 1 => 0..length].boxed();
    prop_oneof![
        4 => (at.clone(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Sector(at, byte)),
        2 => (at.clone(), at).prop_map(|(from, to)| Damage::Astray(from, to)),
        1 => (0..length).prop_map(Damage::Cut),
        1 => (1..100_000_usize).prop_map(Damage::Longer),
    ]
}

#[test]
fn what_is_damaged_is_refused_or_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stored = runtime.block_on(Stored::new());
    let pages = stored.whole.chunks(PAGE).enumerate();
    let used = pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let used = used.map(|(number, _)| number * PAGE).collect();
    let config = Config { failure_persistence: None, cases: 96, ..Config::default() };
    let passes = |damage: Damage| {
        let image = damage.done(&stored.whole);
        let path = stored.path();
        stored.write(&image);
        let opened = RedbStore::open(&path);
        let is_open = opened.is_ok();
        match opened {
            Ok(store) => {
                let found = runtime.block_on(all(&store)).unwrap();
                prop_assert!(found == stored.records, "it answers what is not so");
                let next = Commit::new().put(key(7), "new").put(key(1_000_000), "new");
                runtime.block_on(store.commit(next)).unwrap();
            }
            Err(OpenError::Damaged { .. }) => {
                prop_assert!(std::fs::read(&path).unwrap() == image, "it was changed");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
        // What only looks does not panic either.
        stored.write(&image);
        let _ = peek(&path, &[key(7)]);
        prop_assert!(std::fs::read(&path).unwrap() == image);
        if let Ok(readable) = Readable::open(&path) {
            readable.walk(|_| {});
        }
        prop_assert!(std::fs::read(&path).unwrap() == image);
        let verified = verify(&path);
        prop_assert_eq!(verified.is_ok(), is_open, "{:?}", verified);
        Ok(())
    };
    TestRunner::new(config).run(&damage(used, stored.whole.len()), passes).unwrap();
}

#[tokio::test]
async fn the_rest_of_a_damaged_file_is_read_and_what_is_missing_is_said() {
    let stored = Stored::new().await;
    let leaves = stored.leaves();
    // Two of them, with something in between.
    stored.write(&stored.without(&[leaves[1], leaves[leaves.len() / 2]]));
    let refused = RedbStore::open(&stored.path()).unwrap_err();
    assert!(refused.to_string().contains("chancery store check"), "{refused}");

    let readable = Readable::open(&stored.path()).unwrap();
    assert_eq!(readable.newest().get(), 16);
    let mut found = Records::new();
    let gaps = readable.walk(|record| {
        let record = record.unwrap();
        assert!(found.insert(record.key.clone(), record).is_none(), "it was read twice");
    });
    assert!(found.len() > stored.records.len() / 2 && found.len() < stored.records.len());
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let is_missing = |key: &Key| gaps.iter().any(|gap| gap.contains(key));
    for (key, record) in &stored.records {
        assert_eq!(found.get(key), (!is_missing(key)).then_some(record), "{key}");
    }
}

#[tokio::test]
async fn a_whole_file_has_no_gaps_and_one_that_was_not_closed_is_not_looked_at() {
    let stored = Stored::new().await;
    let mut found = 0;
    let gaps = Readable::open(&stored.path()).unwrap().walk(|_| found += 1);
    assert_eq!((gaps, found), (vec![], stored.records.len()));
    assert_eq!(verify(&stored.path()).unwrap(), Integrity::Whole);

    let store = RedbStore::open(&stored.path()).unwrap();
    assert!(matches!(Readable::open(&stored.path()), Err(OpenError::InUse { .. })));
    let unclosed = stored.directory.path().join("unclosed.redb");
    store.commit(Commit::new().put(key(0), "newer")).await.unwrap();
    std::fs::copy(stored.path(), &unclosed).unwrap();
    assert!(matches!(Readable::open(&unclosed), Err(OpenError::Unclosed { .. })));
    assert_eq!(verify(&unclosed).unwrap(), Integrity::Repaired);
    assert_eq!(verify(&unclosed).unwrap(), Integrity::Whole);
}

/// Such a file is as after a power cut in the middle of a commit: it cannot be known whether there was one.
#[tokio::test]
async fn a_file_that_goes_back_by_a_commit_says_so() {
    let stored = Stored::new().await;
    let store = RedbStore::open(&stored.path()).unwrap();
    let before = std::fs::read(stored.path()).unwrap();
    store.commit(Commit::new().put(key(0), "the newest of all")).await.unwrap();
    let mut image = std::fs::read(stored.path()).unwrap();
    drop(store);
    let text = b"the newest of all";
    let at = image.windows(text.len()).position(|bytes| bytes == text).unwrap();
    assert_ne!(before[at], image[at]);
    image[at] ^= 1;
    stored.write(&image);
    assert_eq!(verify(&stored.path()).unwrap(), Integrity::WentBack);
    let store = RedbStore::open(&stored.path()).unwrap();
    assert_eq!(all(&store).await.unwrap(), stored.records);
}

#[tokio::test]
async fn damage_while_the_store_is_open_ends_in_errors() {
    let stored = Stored::new().await;
    let options = RedbOptions { cache_bytes: 0, ..RedbOptions::default() };
    for fill in [0, 0xff] {
        stored.write(&stored.whole);
        let store = RedbStore::open_with(&stored.path(), &options).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(stored.path()).unwrap();
        for at in (PAGE..stored.whole.len()).step_by(PAGE) {
            std::os::unix::fs::FileExt::write_all_at(&file, &[fill; PAGE], at as u64).unwrap();
        }
        let read = store.get(&key(300)).await;
        assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
        let put = store.commit(Commit::new().put(key(300), "1")).await;
        assert!(matches!(put, Err(CommitError::Unavailable(_))), "{put:?}");
        let read = store.scan(b"", None, 100_000).await;
        assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
        // It is looked at again when it is there again.
        drop(store);
        stored.write(&stored.whole);
        let store = RedbStore::open_with(&stored.path(), &options).unwrap();
        assert_eq!(all(&store).await.unwrap(), stored.records);
    }
}

#[test]
fn a_missing_file_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Path::new(directory.path()).join("store.redb");
    assert!(matches!(Readable::open(&missing), Err(OpenError::Io { .. })));
}
