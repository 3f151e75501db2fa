//! Another root key in the place of the one that a store is sealed with.

use std::collections::BTreeMap;

use chancery_store::{Commit, CommitError, Key, ReadError, Record, Store};

use crate::barrier::{CHECK_TEXT, ROOT_ID};
use crate::envelope::{Envelope, NotSealed, SealingKey};
use crate::keyring::{damaged, random_key, unavailable};
use crate::names;
use crate::root::{NewRoot, RootKey};
use crate::usage::Usage;

/// How many records are read at once.
const PAGE: usize = 1000;

/// Why a root key was not changed. The store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RekeyError {
    /// The store is sealed with another one than that which is to be replaced.
    #[error(
        "the root key from {origin} is not the one that this store is sealed with: let the configuration name that one"
    )]
    WrongRootKey {
        /// Where it came from.
        origin: String,
    },
    /// It would change nothing.
    #[error("the root key from {origin} is the one that this store is sealed with already")]
    Same {
        /// Where it came from.
        origin: String,
    },
    /// The store has a record of the seal that this release does not know.
    #[error("the record {0} is of a newer release: change the root key with that one")]
    Unknown(Key),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Makes sure that a store is sealed with a root key. To be called before a new one is made.
///
/// # Errors
/// [`RekeyError::WrongRootKey`], and that the store cannot be read.
pub async fn expect_sealed_with(store: &dyn Store, root: &RootKey) -> Result<(), RekeyError> {
    let key = SealingKey::new(ROOT_ID, root.bytes()).map_err(unavailable)?;
    let check = Key::new(names::CHECK).map_err(ReadError::from)?;
    let is_it = match store.get(&check).await? {
        Some(record) => open(&key, &record).is_ok_and(|text| **text == *CHECK_TEXT),
        None => false,
    };
    if is_it { Ok(()) } else { Err(RekeyError::WrongRootKey { origin: root.origin().to_owned() }) }
}

/// Seals the keys of all tenants anew, with another root key, and gives each tenant another key for what is written from
/// then on, all in one commit: at every moment the store opens with one of the two root keys, and only with that; and
/// the former one, with a copy of the store from before, opens nothing that is written afterwards. Records stay as they
/// are. Returns how many keys were sealed anew. `store` is the inner store; nobody else may have it open, since they
/// would go on with the old root key.
///
/// # Errors
/// [`RekeyError`]; the store is as it was.
pub async fn rekey(
    store: &dyn Store,
    current: &RootKey,
    new: &NewRoot,
) -> Result<usize, RekeyError> {
    let key = |root: &RootKey| SealingKey::new(ROOT_ID, root.bytes()).map_err(unavailable);
    let (old, next) = (key(current)?, key(&new.key)?);
    if current.bytes() == new.key.bytes() {
        return Err(RekeyError::Same { origin: new.key.origin().to_owned() });
    }
    expect_sealed_with(store, current).await?;
    let (mut commit, mut keys, mut after) = (Commit::new(), 0_usize, None::<Key>);
    let mut last: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    loop {
        let page = store.scan(names::RESERVED, after.as_ref(), PAGE).await?;
        after = page.last().map(|record| record.key.clone());
        for record in &page {
            let Record { key, version, .. } = record;
            commit = commit.check_version(key.clone(), *version);
            if [names::PASSPHRASE, names::WRAPPED_ROOT, names::ROOT_ID]
                .iter()
                .any(|name| is(key, name))
            {
                commit = commit.delete(key.clone());
                continue;
            }
            let id = names::tenant_key_id(key);
            if let (Some(tenant), Some(id)) = (names::tenant_of(key), id) {
                let last = last.entry(tenant).or_default();
                *last = id.max(*last);
            }
            if !(id.is_some() || names::is_tenant_use(key) || is(key, names::CHECK)) {
                return Err(RekeyError::Unknown(key.clone()));
            }
            let text = open(&old, record)?;
            let sealed = next.seal(key, &text).map_err(|error: NotSealed| unavailable(error))?;
            commit = commit.put(key.clone(), sealed);
            keys += usize::from(id.is_some());
        }
        if page.len() < PAGE {
            break;
        }
    }
    for (tenant, id) in &last {
        commit = with_next_key(commit, &next, tenant, *id)?;
    }
    commit = commit.put(Key::new(names::ROOT_ID).map_err(ReadError::from)?, new.key.id());
    if let Some((name, record)) = &new.made_by {
        commit = commit.put(Key::new(*name).map_err(ReadError::from)?, record.clone());
    }
    store.commit(commit).await?;
    tracing::info!(target: "seal", keys, root = new.key.id(), "sealed the tenants' keys with another root key");
    Ok(keys)
}

/// Adds to `commit` the key of `tenant` after `last`, which nobody has seen.
fn with_next_key(
    commit: Commit,
    root: &SealingKey,
    tenant: &[u8],
    last: u32,
) -> Result<Commit, RekeyError> {
    let id = last.checked_add(1).ok_or_else(|| {
        CommitError::Unavailable("a tenant has had as many keys as there can be".to_owned())
    })?;
    let seal = |at: &Key, text: &[u8]| root.seal(at, text).map_err(unavailable);
    let at = names::tenant_key(tenant, id).map_err(ReadError::from)?;
    let used = names::tenant_use(tenant, id).map_err(ReadError::from)?;
    let key = random_key().map_err(unavailable)?;
    let usage = serde_json::to_vec(&Usage { reserved: 0, since: None })
        .map_err(|error| CommitError::Unavailable(error.to_string()))?;
    let (key, usage) = (seal(&at, key.as_ref())?, seal(&used, &usage)?);
    Ok(commit.check_absent(at.clone()).put(at, key).put(used, usage))
}

fn is(key: &Key, name: &str) -> bool {
    key.as_bytes() == name.as_bytes()
}

fn open(with: &SealingKey, record: &Record) -> Result<zeroize::Zeroizing<Vec<u8>>, ReadError> {
    Envelope::parse(&record.value)
        .and_then(|envelope| with.open(&record.key, &envelope))
        .map_err(|reason| damaged(&record.key, reason))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chancery_files::Trusted;
    use chancery_store::memory::MemoryStore;

    use super::*;
    use crate::{Barrier, OpenError};

    struct World {
        directory: tempfile::TempDir,
        store: MemoryStore,
    }

    impl World {
        /// A store with two tenants, one of which has two keys.
        async fn new() -> Self {
            let world = Self { directory: tempfile::tempdir().unwrap(), store: MemoryStore::new() };
            let barrier = world.open("first").await.unwrap();
            for (at, value) in [("a/x", "one"), ("b/x", "two")] {
                barrier.commit(Commit::new().put(Key::new(at).unwrap(), value)).await.unwrap();
            }
            barrier.rotate(b"a").await.unwrap();
            barrier.commit(Commit::new().put(Key::new("a/y").unwrap(), "three")).await.unwrap();
            world
        }

        fn root(&self, name: &str) -> NewRoot {
            NewRoot::from_file(&self.directory.path().join(name), &Trusted::process()).unwrap()
        }

        async fn open(&self, name: &str) -> Result<Arc<Barrier>, OpenError> {
            Barrier::open(Arc::new(self.store.clone()), self.root(name).into_key()).await
        }

        async fn opens_with(&self, name: &str) -> bool {
            let Ok(barrier) = self.open(name).await else { return false };
            for (at, value) in [("a/x", "one"), ("b/x", "two"), ("a/y", "three")] {
                let record = barrier.get(&Key::new(at).unwrap()).await.unwrap().unwrap();
                assert_eq!(record.value, value);
            }
            true
        }
    }

    #[tokio::test]
    async fn afterwards_the_new_root_key_opens_everything_and_the_old_one_nothing() {
        let world = World::new().await;
        let (first, second) = (world.root("first"), world.root("second"));
        assert_eq!(rekey(&world.store, first.key(), &second).await.unwrap(), 3);
        assert!(world.opens_with("second").await);
        let refused = world.open("first").await.unwrap_err();
        let OpenError::WrongRootKey { id, sealed_with, .. } = &refused else { panic!("{refused}") };
        assert_eq!((id, sealed_with.as_ref()), (&first.key().id(), Some(&second.key().id())));
        assert!(refused.to_string().contains(&second.key().id()), "{refused}");
        // It goes on: written, rotated and changed again.
        let barrier = world.open("second").await.unwrap();
        barrier.rotate(b"b").await.unwrap();
        rekey(&world.store, second.key(), &first).await.unwrap();
        assert!(world.opens_with("first").await);
    }

    /// Who has the former root key and a copy of the store from before reads what was in that copy, and no more.
    #[tokio::test]
    async fn what_is_written_afterwards_does_not_open_with_the_former_root_key_and_an_old_copy() {
        let world = World::new().await;
        let (first, second) = (world.root("first"), world.root("second"));
        let copy = MemoryStore::new();
        let mut all = Commit::new();
        for record in world.store.scan(b"", None, 1000).await.unwrap() {
            all = all.put(record.key, record.value);
        }
        copy.commit(all).await.unwrap();
        rekey(&world.store, first.key(), &second).await.unwrap();
        let barrier = world.open("second").await.unwrap();
        let new = Key::new("a/z").unwrap();
        for (at, value) in [(&new, "four"), (&Key::new("b/x").unwrap(), "five")] {
            barrier.commit(Commit::new().put(at.clone(), value)).await.unwrap();
            let sealed = world.store.get(at).await.unwrap().unwrap();
            copy.commit(Commit::new().put(at.clone(), sealed.value)).await.unwrap();
            let former = Barrier::open(Arc::new(copy.clone()), world.root("first").into_key());
            let refused = former.await.unwrap().get(at).await.unwrap_err();
            assert!(refused.to_string().contains(&at.to_string()), "{refused}");
        }
        // What was there before opens there as it did, which is why the copy is to be kept well.
        let former = Barrier::open(Arc::new(copy), first.into_key()).await.unwrap();
        let old = former.get(&Key::new("a/y").unwrap()).await.unwrap().unwrap();
        assert_eq!(old.value, "three");
    }

    #[tokio::test]
    async fn what_fails_leaves_the_store_as_it_was() {
        let world = World::new().await;
        let (first, second) = (world.root("first"), world.root("second"));
        let same = rekey(&world.store, first.key(), &world.root("first")).await.unwrap_err();
        assert!(matches!(same, RekeyError::Same { .. }), "{same}");
        let wrong = rekey(&world.store, second.key(), &first).await.unwrap_err();
        assert!(matches!(wrong, RekeyError::WrongRootKey { .. }), "{wrong}");
        world.store.set_full(true);
        rekey(&world.store, first.key(), &second).await.unwrap_err();
        world.store.set_full(false);
        assert!(world.opens_with("first").await);
        // A key that does not open would be lost.
        let at = names::tenant_key(b"b", 1).unwrap();
        world.store.commit(Commit::new().put(at, "rubbish")).await.unwrap();
        let damaged = rekey(&world.store, first.key(), &second).await.unwrap_err();
        assert!(damaged.to_string().contains("_/seal/key/b/"), "{damaged}");
    }

    #[tokio::test]
    async fn a_passphrase_takes_the_place_of_a_file_and_gives_it_up() {
        use std::os::unix::fs::PermissionsExt as _;

        let world = World::new().await;
        let path = world.directory.path().join("passphrase");
        std::fs::write(&path, "correct horse battery").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let trusted = Trusted::process();
        let first = world.root("first");
        let by_passphrase = NewRoot::from_passphrase_file(&path, &trusted).await.unwrap();
        rekey(&world.store, first.key(), &by_passphrase).await.unwrap();
        let again = RootKey::from_passphrase_file(&path, &trusted, &world.store).await.unwrap();
        assert_eq!(again.bytes(), by_passphrase.key().bytes());
        Barrier::open(Arc::new(world.store.clone()), again).await.unwrap();
        let third = world.root("third");
        rekey(&world.store, by_passphrase.key(), &third).await.unwrap();
        assert!(world.opens_with("third").await);
        let salt = Key::new(names::PASSPHRASE).unwrap();
        assert_eq!(world.store.get(&salt).await.unwrap(), None);
    }
}
