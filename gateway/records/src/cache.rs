//! Some records of a large table in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery_store::{Change, ReadError, Watch};
use tokio::time::Instant;

use crate::codec::{Recorded, Stored};
use crate::table::Table;

/// Records of a table that were read lately, at most a number of them.
///
/// A read looks first whether the store told of a change, so that it never finds what was there
/// before a commit that its caller knows of. An entry is used for a greatest age and then read again.
/// When the store tells of no changes any more, every read goes to the store.
///
/// What is not there is not remembered, so that asking for ids that do not exist costs no memory.
/// Never keep the plaintext of secrets in a cache, and never decide by it what may happen only once.
pub struct Cache<T> {
    table: Table<T>,
    state: Mutex<State<T>>,
    greatest_age: Duration,
}

struct State<T> {
    entries: quick_cache::unsync::Cache<String, Entry<T>>,
    watch: Watch,
    /// Ids that are being read at this moment.
    reading: HashMap<String, Reading>,
}

struct Entry<T> {
    stored: Arc<Stored<T>>,
    read_at: Instant,
}

#[derive(Default)]
struct Reading {
    readers: usize,
    /// The record changed after one of them began, so that what they read is not kept.
    changed: bool,
}

/// Somebody who is reading a record; dropped when they are done or gave up.
struct Reader<'a, T> {
    state: &'a Mutex<State<T>>,
    id: &'a str,
}

impl<T: Recorded> Cache<T> {
    /// A cache of at most `capacity` records, each for at most `greatest_age`.
    pub fn new(table: Table<T>, capacity: usize, greatest_age: Duration) -> Self {
        let watch = table.store().watch(table.prefix().as_bytes());
        let entries = quick_cache::unsync::Cache::new(capacity);
        let state = Mutex::new(State { entries, watch, reading: HashMap::new() });
        Self { table, state, greatest_age }
    }

    /// The table that it shows.
    pub fn table(&self) -> &Table<T> {
        &self.table
    }

    /// The record with this id.
    ///
    /// # Errors
    /// As for [`Table::get`], if the record has to be read.
    pub async fn get(&self, id: &str) -> Result<Option<Arc<Stored<T>>>, ReadError> {
        let read_at = Instant::now();
        let _reader = {
            let mut state = self.up_to_date();
            if let Some(entry) = state.entries.get(id)
                && read_at.duration_since(entry.read_at) <= self.greatest_age
            {
                return Ok(Some(entry.stored.clone()));
            }
            state.reading.entry(id.to_owned()).or_default().readers += 1;
            Reader { state: &self.state, id }
        };
        let Some(stored) = self.table.get(id).await?.map(Arc::new) else { return Ok(None) };
        let mut state = self.up_to_date();
        // A watch that has ended tells of no changes, so that nothing can be kept.
        let is_current = state.reading.get(id).is_some_and(|reading| !reading.changed);
        if is_current && !state.watch.has_ended() {
            state.entries.insert(id.to_owned(), Entry { stored: stored.clone(), read_at });
        }
        Ok(Some(stored))
    }

    /// The state after all changes that the store has told of.
    fn up_to_date(&self) -> MutexGuard<'_, State<T>> {
        let mut state = lock(&self.state);
        while let Some(change) = state.watch.try_next() {
            match change {
                Change::Put { key, .. } | Change::Deleted { key, .. } => {
                    let Some(id) = self.table.id(&key) else { continue };
                    state.entries.remove(id);
                    if let Some(reading) = state.reading.get_mut(id) {
                        reading.changed = true;
                    }
                }
                Change::Lagged => state.forget_all(),
            }
        }
        if state.watch.has_ended() && !state.entries.is_empty() {
            state.forget_all();
        }
        state
    }
}

impl<T> State<T> {
    fn forget_all(&mut self) {
        self.entries.clear();
        for reading in self.reading.values_mut() {
            reading.changed = true;
        }
    }
}

impl<T> Drop for Reader<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(self.state);
        if let Some(reading) = state.reading.get_mut(self.id) {
            reading.readers -= 1;
            if reading.readers == 0 {
                state.reading.remove(self.id);
            }
        }
    }
}

impl<T> std::fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("table", &self.table).finish_non_exhaustive()
    }
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
