//! Making the record anew that shows which root key a store is sealed with.

use chancery_store::{Commit, CommitError, Key, ReadError, Store};

use crate::barrier::{CHECK_TEXT, OpenError, ROOT_ID};
use crate::envelope::{Envelope, SealingKey};
use crate::keyring::unavailable;
use crate::names;
use crate::root::RootKey;

/// Writes the check of a store anew if it is damaged or missing and `root` opens the key of a tenant, which shows as
/// well that the root key is the right one. Whether it was written. `store` is the inner store.
///
/// # Errors
/// If the store fails. A root key that opens nothing is none; [`Barrier::open`](crate::Barrier::open) says so.
pub async fn mend_check(store: &dyn Store, root: &RootKey) -> Result<bool, OpenError> {
    let key = SealingKey::new(ROOT_ID, root.bytes()).map_err(unavailable)?;
    let check = Key::new(names::CHECK).map_err(ReadError::from)?;
    let opens = |at: &Key, value: &[u8]| {
        Envelope::parse(value).is_ok_and(|envelope| key.open(at, &envelope).is_ok())
    };
    match store.get(&check).await {
        Ok(Some(record)) if opens(&check, &record.value) => return Ok(false),
        Ok(_) | Err(ReadError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut after = None::<Key>;
    loop {
        let keys = store.keys(names::TENANT_KEYS, after.as_ref(), PAGE).await?;
        for at in &keys {
            let is_good = match store.get(at).await {
                Ok(record) => record.is_some_and(|record| opens(at, &record.value)),
                Err(ReadError::Damaged { .. }) => false,
                Err(error) => return Err(error.into()),
            };
            if is_good {
                return write(store, &key, check, root).await;
            }
        }
        after = match keys.into_iter().next_back() {
            Some(last) => Some(last),
            None => return Ok(false),
        };
    }
}

/// How many keys are read at once.
const PAGE: usize = 1000;

async fn write(
    store: &dyn Store,
    key: &SealingKey,
    check: Key,
    root: &RootKey,
) -> Result<bool, OpenError> {
    let sealed = key.seal(&check, CHECK_TEXT).map_err(unavailable)?;
    let id_at = Key::new(names::ROOT_ID).map_err(ReadError::from)?;
    match store.commit(Commit::new().put(check, sealed).put(id_at, root.id())).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chancery_files::Trusted;
    use chancery_store::memory::MemoryStore;

    use super::*;
    use crate::{Barrier, NewRoot};

    #[tokio::test]
    async fn a_check_that_is_damaged_is_made_anew_by_the_right_root_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let root = |name: &str| {
            let new = NewRoot::from_file(&directory.path().join(name), &Trusted::process());
            new.unwrap().into_key()
        };
        let store = MemoryStore::new();
        let open = async |name: &str| Barrier::open(Arc::new(store.clone()), root(name)).await;
        let at = Key::new("t/a").unwrap();
        let barrier = open("right").await.unwrap();
        barrier.commit(Commit::new().put(at.clone(), "secret")).await.unwrap();
        assert!(!mend_check(&store, &root("right")).await.unwrap(), "it is good");

        let check = Key::new(names::CHECK).unwrap();
        for damage in [
            Commit::new().put(check.clone(), "rubbish"),
            Commit::new().delete(check.clone()),
            Commit::new().put(check, "").delete(Key::new(names::ROOT_ID).unwrap()),
        ] {
            store.commit(damage).await.unwrap();
            open("right").await.unwrap_err();
            assert!(!mend_check(&store, &root("wrong")).await.unwrap());
            open("right").await.unwrap_err();
            assert!(mend_check(&store, &root("right")).await.unwrap());
            let barrier = open("right").await.unwrap();
            assert_eq!(barrier.get(&at).await.unwrap().unwrap().value, "secret");
            open("wrong").await.unwrap_err();
        }
    }
}
