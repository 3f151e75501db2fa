//! Keeps a view up to date with its table in the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chancery_store::{Change, Key, ReadError, Record, Watch};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Damage, Model, Shared, ViewError};
use crate::codec::{Recorded, decode};
use crate::pages::Pages;
use crate::table::Table;

/// The pause before a store that could not be read is asked again.
const PAUSE: Duration = Duration::from_millis(100);

type Waiter = oneshot::Sender<Result<(), ViewError>>;

/// What keeps a view up to date.
pub(super) struct Follower<T, M> {
    shared: Arc<Shared<T, M>>,
    watch: Watch,
    /// Records that have to be read again.
    changed: BTreeSet<Key>,
    /// The watch has missed something, so that everything has to be read again.
    missed: bool,
    /// The last attempt to catch up failed.
    failed: bool,
    waiters: Vec<Waiter>,
}

impl<T: Recorded, M: Model<T>> Follower<T, M> {
    pub(super) fn new(shared: Arc<Shared<T, M>>, watch: Watch) -> Self {
        Self {
            shared,
            watch,
            changed: BTreeSet::new(),
            missed: false,
            failed: false,
            waiters: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Waiter>) {
        // Looks often enough that one failure does not make the view stale.
        let mut look = tokio::time::interval(self.shared.greatest_age / 3);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = self.watch.next() => match change {
                    Some(change) => self.note(change),
                    None => break,
                },
                waiter = waiting.recv() => match waiter {
                    Some(waiter) => self.waiters.push(waiter),
                    None => break,
                },
                _ = look.tick() => {}
                () = tokio::time::sleep(PAUSE), if self.failed => {}
            }
            while let Ok(waiter) = waiting.try_recv() {
                self.waiters.push(waiter);
            }
            self.catch_up().await;
        }
        self.shared.write().ended = true;
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Put { key, .. } | Change::Deleted { key, .. } => {
                self.changed.insert(key);
            }
            Change::Lagged => self.missed = true,
        }
    }

    /// Reads what has changed. A failure is logged once, until the store can be read again.
    async fn catch_up(&mut self) {
        let began = Instant::now();
        while let Some(change) = self.watch.try_next() {
            self.note(change);
        }
        let caught_up = if self.missed { self.reload().await } else { self.refresh().await };
        match caught_up {
            Ok(()) => {
                self.shared.write().certain = began;
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.send(Ok(()));
                }
                self.failed = false;
            }
            Err(error) => {
                let stale = self.shared.stale(&self.shared.read());
                if !self.failed {
                    let view = self.shared.name;
                    tracing::warn!(target: "records", view, %error, "cannot follow the store");
                }
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.send(Err(stale.clone()));
                }
                self.failed = true;
            }
        }
    }

    async fn reload(&mut self) -> Result<(), ReadError> {
        reloads(self.shared.name).increment(1);
        let model = read_all(&self.shared.table, (self.shared.make)()).await?;
        self.shared.write().model = model;
        self.missed = false;
        self.changed.clear();
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), ReadError> {
        let table = &self.shared.table;
        if self.changed.is_empty() {
            // Only makes sure that the store can be read.
            return match table.store().scan(table.prefix().as_bytes(), None, 1).await {
                Ok(_) | Err(ReadError::Damaged { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        }
        while let Some(key) = self.changed.first().cloned() {
            let found = found(table.store().get(&key).await)?;
            if let Some(id) = table.id(&key) {
                let mut state = self.shared.write();
                match found {
                    Some(found) => take(&mut state.model, id, found),
                    None => state.model.remove(id),
                }
            }
            self.changed.remove(&key);
        }
        Ok(())
    }
}

/// Puts all records of the table into the model.
pub(super) async fn read_all<T: Recorded, M: Model<T>>(
    table: &Table<T>,
    mut model: M,
) -> Result<M, ReadError> {
    let mut pages = Pages::new(&**table.store(), table.prefix().as_bytes());
    while let Some(page) = pages.next().await? {
        for record in page {
            let key = record.key.clone();
            if let Some(id) = table.id(&key) {
                take(&mut model, id, Ok(record));
            }
        }
    }
    Ok(model)
}

type Found = Result<Record, Damage>;

/// Tells a record that is damaged from a store that cannot be read.
fn found(read: Result<Option<Record>, ReadError>) -> Result<Option<Found>, ReadError> {
    match read {
        Ok(record) => Ok(record.map(Ok)),
        Err(ReadError::Damaged { key, reason }) => Ok(Some(Err(Damage { key, reason }))),
        Err(error) => Err(error),
    }
}

fn take<T: Recorded, M: Model<T>>(model: &mut M, id: &str, found: Found) {
    let found = found.and_then(|record| {
        decode(&record).map_err(|error| Damage { key: record.key, reason: reason_of(&error) })
    });
    let damage = match found {
        Ok(stored) => return model.put(id, stored),
        Err(damage) => damage,
    };
    let Damage { key, reason } = &damage;
    tracing::error!(target: "records", %key, reason, "a record cannot be trusted");
    model.damaged(id, damage);
}

fn reason_of(error: &ReadError) -> String {
    match error {
        ReadError::Damaged { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

pub(super) fn reloads(name: &'static str) -> metrics::Counter {
    metrics::counter!("chancery_view_reloads_total", "view" => name)
}
