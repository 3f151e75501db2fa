//! The battery of the store, through the barrier: in front of memory and of a file.

use std::sync::Arc;

use chancery_seal::{Barrier, RootKey};
use chancery_store::SharedStore;
use chancery_store::memory::MemoryStore;
use chancery_store::redb::RedbStore;

#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
async fn sealed<T>(inner: impl FnOnce(&std::path::Path) -> T) -> (SharedStore, tempfile::TempDir)
where
    T: chancery_store::Store + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    let root = RootKey::create_file(&directory.path().join("root.key")).unwrap();
    let inner = Arc::new(inner(directory.path()));
    (Barrier::open(inner, root).await.unwrap(), directory)
}

mod in_front_of_memory {
    use super::*;

    chancery_store::conformance_battery!(sealed(|_| MemoryStore::new()).await);
}

mod in_front_of_a_file {
    use super::*;

    chancery_store::conformance_battery!(
        sealed(|directory| RedbStore::open(&directory.join("store.redb")).unwrap()).await
    );
}
