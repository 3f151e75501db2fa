//! Views and caches beside a store that fails, is closed, or tells of too much at once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cache;
mod flaky_store;
mod view;

use std::sync::Arc;

use chancery_records::{Recorded, Table};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, SharedStore, Store};
use serde::{Deserialize, Serialize};

use flaky_store::FlakyStore;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Group(Vec<String>);

impl Recorded for Group {}

/// A store in memory, the same store with faults, and the groups in it.
struct World {
    memory: MemoryStore,
    store: Arc<FlakyStore>,
    groups: Table<Group>,
}

impl World {
    fn new() -> Self {
        let memory = MemoryStore::new();
        let store = Arc::new(FlakyStore::new(memory.clone()));
        let shared: SharedStore = store.clone();
        Self { memory, store, groups: Table::new(shared, "t/group/") }
    }

    /// What another gateway does.
    async fn put(&self, id: &str, members: &[&str]) {
        let value = serde_json::to_vec(members).unwrap();
        self.put_bytes(id, value).await;
    }

    async fn put_bytes(&self, id: &str, value: Vec<u8>) {
        let commit = Commit::new().put(self.groups.key(id).unwrap(), value);
        self.memory.commit(commit).await.unwrap();
    }

    async fn delete(&self, id: &str) {
        let commit = Commit::new().delete(self.groups.key(id).unwrap());
        self.memory.commit(commit).await.unwrap();
    }
}

fn members(group: &Group) -> Vec<&str> {
    group.0.iter().map(String::as_str).collect()
}
