//! Which keys of tenants a store has, and which it lacks: told from all of its records.

use std::collections::{BTreeMap, BTreeSet};

use chancery_store::redb::Frozen;
use chancery_store::{Key, ReadError, Record};

use crate::barrier::ROOT_ID;
use crate::envelope::{Envelope, KEY_LEN, SealingKey};
use crate::keyring::unavailable;
use crate::names;
use crate::root::RootKey;

/// How many records are read at once.
const PAGE: usize = 256;

/// How far above the known keys a number may be that only a record names. A damaged record may name any number.
const CREDIBLE: u32 = 1 << 24;

/// The distance from the last known key number to a new one if unknown keys may be missing. A later backup may have
/// those keys, so their numbers stay free.
const APART: u32 = 1 << 16;

/// The keys of the tenants in one state of a store. First it is told of the [seal's records](Self::note_of_seal), then
/// of [those of a backup](Self::offer), then of [the others](Self::note).
pub struct Census {
    root: SealingKey,
    /// Tenants that count without any record of the seal.
    expected: BTreeSet<Key>,
    tenants: BTreeMap<Key, Tenant>,
    /// Whether the record that shows the root key opens with it.
    checked: bool,
}

#[derive(Default)]
struct Tenant {
    /// Keys that are there and open.
    held: BTreeSet<u32>,
    /// Records of keys that do not open.
    damaged: BTreeSet<Key>,
    /// Keys of which it is on record how often they were used.
    counted: BTreeSet<u32>,
    /// Keys that are not there and come from a backup.
    offered: BTreeMap<u32, Offered>,
    /// How many records are under keys that are not there.
    under: BTreeMap<u32, u64>,
}

struct Offered {
    record: Record,
    key: SealingKey,
    /// Whether a record that is under it opens.
    fits: bool,
}

/// The keys that a tenant lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostKeys {
    /// Whose they are: the first segment of the keys of its records.
    pub tenant: Key,
    /// Their numbers.
    pub numbers: BTreeSet<u32>,
    /// How many records are sealed under them.
    pub records: u64,
    /// Those of which there is a record, which does not open.
    pub damaged: BTreeSet<Key>,
    /// Those that the backup has, and under which nothing opens: they are of another past of the store.
    pub foreign: BTreeSet<u32>,
}

impl Census {
    /// One that knows of nothing yet. `expected` are tenants that have keys even if nothing of the seal says so.
    ///
    /// # Errors
    /// The root key cannot be used.
    pub fn new(root: &RootKey, expected: BTreeSet<Key>) -> Result<Self, ReadError> {
        let root = SealingKey::new(ROOT_ID, root.bytes())
            .map_err(|error| ReadError::Unavailable(unavailable(error).to_string()))?;
        Ok(Self { root, expected, tenants: BTreeMap::new(), checked: false })
    }

    /// That of a state of a store, with these records of a backup. Blocks.
    ///
    /// # Errors
    /// [`ReadError`]: the root key cannot be used, or the file not be read.
    pub fn of(
        state: &Frozen,
        root: &RootKey,
        expected: BTreeSet<Key>,
        backup: Vec<Record>,
    ) -> Result<Self, ReadError> {
        let mut census = Self::new(root, expected)?;
        let before = names::RESERVED.strip_suffix(b"/").unwrap_or(names::RESERVED);
        each(state, Some(Key::new(before)?), |record| {
            let is_of_seal = record.key.as_bytes().starts_with(names::RESERVED);
            census.note_of_seal(record);
            is_of_seal
        })?;
        for record in backup {
            census.offer(record);
        }
        each(state, None, |record| {
            census.note(record);
            true
        })?;
        Ok(census)
    }

    /// Takes account of a record of the seal; of others, none.
    pub fn note_of_seal(&mut self, record: &Record) {
        if let Some(tenant) = names::tenant_of(&record.key).and_then(|name| Key::new(name).ok()) {
            let key = self.key_in(record);
            let tenant = self.tenants.entry(tenant).or_default();
            match key {
                Some(key) => drop(tenant.held.insert(key.id())),
                None => drop(tenant.damaged.insert(record.key.clone())),
            }
        } else if let Some((tenant, id)) = names::counted_by(&record.key)
            && let Ok(tenant) = Key::new(tenant)
            && self.opened(record).is_some()
        {
            self.tenants.entry(tenant).or_default().counted.insert(id);
        } else if record.key.as_bytes() == names::CHECK.as_bytes() {
            self.checked = self.opened(record).is_some();
        }
    }

    /// Takes a record of a backup into consideration: a key of a tenant that is missing or damaged here, and that the
    /// root key opens.
    pub fn offer(&mut self, record: Record) {
        let tenant = names::tenant_of(&record.key).and_then(|name| Key::new(name).ok());
        let (Some(tenant), Some(key)) = (tenant, self.key_in(&record)) else { return };
        let tenant = self.tenants.entry(tenant).or_default();
        if !tenant.held.contains(&key.id()) {
            tenant.offered.insert(key.id(), Offered { record, key, fits: false });
        }
    }

    /// Takes account of a record that is not of the seal.
    pub fn note(&mut self, record: &Record) {
        let name = Key::new(record.key.first_segment());
        let (Ok(name), Ok(envelope)) = (name, Envelope::parse(&record.value)) else { return };
        if record.key.as_bytes().starts_with(names::RESERVED) {
            return;
        }
        let (tenant, id) = (self.tenants.entry(name).or_default(), envelope.key_id);
        if tenant.held.contains(&id) {
            return;
        }
        let under = tenant.under.entry(id).or_default();
        *under = under.saturating_add(1);
        if let Some(offered) = tenant.offered.get_mut(&id)
            && !offered.fits
        {
            offered.fits = offered.key.open(&record.key, &envelope).is_ok();
        }
    }

    /// Whether something here opens with the root key, or with a key of the backup.
    pub fn shows_root(&self) -> bool {
        let shows = |tenant: &Tenant| {
            !(tenant.held.is_empty() && tenant.counted.is_empty())
                || tenant.offered.values().any(|offered| offered.fits)
        };
        self.checked || self.tenants.values().any(shows)
    }

    /// The records of the backup that are missing or damaged here, and under which opens what is here.
    pub fn fitting(&self) -> Vec<Record> {
        let tenants = self.tenants.values();
        tenants.flat_map(|tenant| tenant.fitting().map(|(_, one)| one.record.clone())).collect()
    }

    /// The tenants that lack keys, with those of the backup that [fit](Self::fitting) taken.
    pub fn lost(&self) -> Vec<LostKeys> {
        self.known().filter_map(|(name, tenant)| tenant.lost(name)).collect()
    }

    /// For each tenant, a number that is far above its known keys. Its next key comes after that number, because
    /// unknown keys may be missing.
    pub fn renewals(&self) -> BTreeMap<Key, u32> {
        let known = self.known().map(|(name, tenant)| (name, tenant.last_named()));
        let expected = self.expected.iter().map(|name| (name, 0));
        // The later of the same name counts.
        let all = expected.chain(known);
        all.map(|(name, last)| (name.clone(), last.saturating_add(APART))).collect()
    }

    /// A record that names its tenant need not be as it was written.
    fn known(&self) -> impl Iterator<Item = (&Key, &Tenant)> {
        self.tenants
            .iter()
            .filter(|(name, tenant)| self.expected.contains(*name) || tenant.last_shown() > 0)
    }

    fn opened(&self, record: &Record) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let envelope = Envelope::parse(&record.value).ok()?;
        self.root.open(&record.key, &envelope).ok()
    }

    /// The key in a record of a tenant's key.
    fn key_in(&self, record: &Record) -> Option<SealingKey> {
        let id = names::tenant_key_id(&record.key)?;
        let text = self.opened(record)?;
        let key: &[u8; KEY_LEN] = text.as_slice().try_into().ok()?;
        SealingKey::new(id, key).ok()
    }
}

impl Tenant {
    fn fitting(&self) -> impl Iterator<Item = (u32, &Offered)> {
        let fits = |(id, one): &(&u32, &Offered)| one.fits || !self.under.contains_key(id);
        self.offered.iter().filter(fits).map(|(id, one)| (*id, one))
    }

    /// The numbers of those that are there, or come from the backup.
    fn there(&self) -> BTreeSet<u32> {
        self.held.iter().copied().chain(self.fitting().map(|(id, _)| id)).collect()
    }

    /// The last key that is named by a record that opens; 0 if there is none.
    fn last_shown(&self) -> u32 {
        self.there().into_iter().chain(self.counted.iter().copied()).max().unwrap_or(0)
    }

    /// The last key that anything names.
    fn last_named(&self) -> u32 {
        self.missing().into_iter().chain([self.last_shown()]).max().unwrap_or(0)
    }

    fn missing(&self) -> BTreeSet<u32> {
        let (there, most) = (self.there(), self.last_shown().saturating_add(CREDIBLE));
        let damaged = self.damaged.iter().filter_map(names::tenant_key_id);
        let named = self.under.keys().copied().chain(damaged).filter(|id| *id <= most);
        let named = named.chain(self.counted.iter().copied());
        named.filter(|id| !there.contains(id)).collect()
    }

    fn lost(&self, name: &Key) -> Option<LostKeys> {
        let numbers = self.missing();
        let there = self.there();
        let is_replaced = |at: &Key| names::tenant_key_id(at).is_some_and(|id| there.contains(&id));
        let damaged: BTreeSet<Key> =
            self.damaged.iter().filter(|at| !is_replaced(at)).cloned().collect();
        if numbers.is_empty() && damaged.is_empty() {
            return None;
        }
        let records = numbers.iter().filter_map(|id| self.under.get(id)).sum();
        let foreign = numbers.iter().filter(|id| self.offered.contains_key(id)).copied().collect();
        Some(LostKeys { tenant: name.clone(), numbers, records, damaged, foreign })
    }
}

impl LostKeys {
    /// Where the key would be that a record of the inner store is under, if it is one of these.
    pub fn key_of(&self, record: &Record) -> Option<Key> {
        let envelope = Envelope::parse(&record.value).ok()?;
        let is_under = record.key.first_segment() == self.tenant.as_bytes()
            && self.numbers.contains(&envelope.key_id);
        let at = is_under.then(|| names::tenant_key(self.tenant.as_bytes(), envelope.key_id));
        at?.ok()
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

/// Reads the records after a key until `goes_on` says that it is enough.
fn each(
    state: &Frozen,
    mut after: Option<Key>,
    mut goes_on: impl FnMut(&Record) -> bool,
) -> Result<(), ReadError> {
    loop {
        let page = state.scan(after.as_ref(), PAGE)?;
        let ended = page.len() < PAGE;
        for found in page {
            match found {
                Ok(record) => {
                    if !goes_on(&record) {
                        return Ok(());
                    }
                    after = Some(record.key);
                }
                Err(key) => after = Some(key),
            }
        }
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chancery_files::Trusted;
    use chancery_store::redb::RedbStore;
    use chancery_store::{Commit, SharedStore, Store as _};

    use super::*;
    use crate::{Barrier, NewRoot};

    struct World {
        directory: tempfile::TempDir,
        store: Arc<RedbStore>,
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    impl World {
        /// Tenant `a` has two keys with a record under each, `b` has one.
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap());
            let world = Self { directory, store };
            let barrier = world.barrier().await;
            for at in ["a/1", "b/1"] {
                barrier.commit(Commit::new().put(key(at), at)).await.unwrap();
            }
            barrier.rotate(b"a").await.unwrap();
            barrier.commit(Commit::new().put(key("a/2"), "a/2")).await.unwrap();
            world
        }

        fn root(&self) -> RootKey {
            let path = self.directory.path().join("root");
            NewRoot::from_file(&path, &Trusted::process()).unwrap().into_key()
        }

        async fn barrier(&self) -> Arc<Barrier> {
            let store: SharedStore = self.store.clone();
            Barrier::open(store, self.root()).await.unwrap()
        }

        async fn all(&self) -> Vec<Record> {
            self.store.scan(b"", None, 100).await.unwrap()
        }

        async fn change(&self, commit: Commit) {
            self.store.commit(commit).await.unwrap();
        }

        fn census(&self, backup: &[Record]) -> Census {
            let expected = [key("a"), key("b"), key("c")].into();
            let state = self.store.freeze().unwrap();
            Census::of(&state, &self.root(), expected, backup.to_vec()).unwrap()
        }

        fn lost(&self, backup: &[Record]) -> Vec<(String, Vec<u32>, u64)> {
            let said = |one: LostKeys| {
                (one.tenant.to_string(), one.numbers.into_iter().collect(), one.records)
            };
            self.census(backup).lost().into_iter().map(said).collect()
        }
    }

    const A1: &str = "_/seal/key/a/00000001";
    const A2: &str = "_/seal/key/a/00000002";

    #[tokio::test]
    async fn keys_are_missed_by_what_is_under_them_and_by_the_counts_of_their_uses() {
        let world = World::new().await;
        assert_eq!(world.lost(&[]), []);
        world.change(Commit::new().delete(key(A1))).await;
        assert_eq!(world.lost(&[]), [("a".to_owned(), vec![1], 1)]);
        world.change(Commit::new().delete(key("a/1")).delete(key(A2))).await;
        assert_eq!(world.lost(&[]), [("a".to_owned(), vec![1, 2], 1)]);
        world.change(Commit::new().put(key("_/seal/key/b/00000001"), "rubbish")).await;
        let lost = world.census(&[]).lost();
        assert_eq!(lost[1].damaged, [key("_/seal/key/b/00000001")].into());
        assert_eq!((lost[1].records, lost[1].numbers.len()), (1, 1));
        // Whose name only a damaged record has is no tenant.
        world.change(Commit::new().put(key("x/1"), vec![1; 60])).await;
        assert_eq!(world.census(&[]).lost().len(), 2);
    }

    #[tokio::test]
    async fn a_backup_gives_the_keys_that_are_missing_and_no_others() {
        let world = World::new().await;
        let backup = world.all().await;
        world.barrier().await.rotate(b"a").await.unwrap();
        let third = world.store.get(&key("_/seal/key/a/00000003")).await.unwrap();
        assert_eq!(world.census(&backup).fitting(), [], "nothing is missing");
        world.change(Commit::new().delete(key(A1)).put(key(A2), "rubbish")).await;
        let census = world.census(&backup);
        let names = |records: Vec<Record>| -> Vec<Key> {
            records.into_iter().map(|record| record.key).collect()
        };
        assert_eq!(names(census.fitting()), [key(A1), key(A2)]);
        assert_eq!(census.lost(), []);
        for record in census.fitting() {
            world.change(Commit::new().put(record.key, record.value)).await;
        }
        assert_eq!(world.store.get(&key("_/seal/key/a/00000003")).await.unwrap(), third);
        let barrier = world.barrier().await;
        for at in ["a/1", "a/2"] {
            assert_eq!(barrier.get(&key(at)).await.unwrap().unwrap().value, at);
        }

        // The backup is older than the key that is missing.
        barrier.commit(Commit::new().put(key("a/3"), "a/3")).await.unwrap();
        world.change(Commit::new().delete(key("_/seal/key/a/00000003"))).await;
        assert_eq!(world.lost(&backup), [("a".to_owned(), vec![3], 1)]);
    }

    #[tokio::test]
    async fn a_key_under_which_nothing_opens_is_not_taken() {
        let world = World::new().await;
        // The same number in another past of the store.
        world.change(Commit::new().delete(key(A2)).delete(key("_/seal/use/a/00000002"))).await;
        world.barrier().await.rotate(b"a").await.unwrap();
        let other = world.all().await;
        world.change(Commit::new().delete(key(A2))).await;
        let census = world.census(&other);
        assert_eq!(census.fitting(), []);
        assert_eq!(census.lost()[0].foreign, [2].into());
        assert!(census.shows_root());
    }

    #[tokio::test]
    async fn no_key_is_made_in_the_place_of_one_that_is_missing() {
        let world = World::new().await;
        let refused = async |at: &str, tenant: &[u8]| {
            let barrier = world.barrier().await;
            let written = barrier.commit(Commit::new().put(key(at), "new")).await.unwrap_err();
            assert!(written.to_string().contains("--accept-loss"), "{written}");
            let _ = barrier.rotate(tenant).await.unwrap_err();
        };
        let backup = world.all().await;
        // Its uses are on record, or only what is under it.
        world.change(Commit::new().delete(key("_/seal/key/b/00000001"))).await;
        refused("b/2", b"b").await;
        world.change(Commit::new().delete(key("_/seal/use/b/00000001"))).await;
        refused("b/2", b"b").await;
        world.change(Commit::new().delete(key(A2))).await;
        let _ = world.barrier().await.rotate(b"a").await.unwrap_err();

        // Given up, they leave their numbers free, so that a backup can bring them back.
        let barrier = world.barrier().await;
        let renewals = world.census(&[]).renewals();
        assert_eq!(renewals.len(), 3);
        for (tenant, last) in &renewals {
            barrier.renew(tenant.as_bytes(), *last).await.unwrap();
        }
        for at in ["a/4", "b/4", "c/4"] {
            barrier.commit(Commit::new().put(key(at), at)).await.unwrap();
        }
        barrier.rotate_all().await.unwrap();
        barrier.get(&key("b/1")).await.unwrap_err();
        for record in world.census(&backup).fitting() {
            world.change(Commit::new().put(record.key, record.value)).await;
        }
        let barrier = world.barrier().await;
        for at in ["a/1", "a/2", "a/4", "b/1", "b/4", "c/4"] {
            assert_eq!(barrier.get(&key(at)).await.unwrap().unwrap().value, at);
        }
    }
}
