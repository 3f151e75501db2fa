//! All records of a small table in memory, kept up to date by the store's changes.

mod follower;
mod items;
mod model;

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chancery_store::{Key, ReadError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::follower::Follower;
pub use self::items::Items;
pub use self::model::{Damage, Model};
use crate::codec::{Recorded, Stored};
use crate::table::Table;

/// How many callers may wait at once for the view to catch up; more have to wait to begin waiting.
const WAITING: usize = 1024;

/// The shortest greatest age: below it, one slow read would make a view refuse.
const LEAST_AGE: Duration = Duration::from_secs(3);

/// All records of a table in memory, for readers that cannot wait.
///
/// A task follows the store: what any gateway commits is in the view as soon as the store has told of
/// it. If the store told of too much at once, the task reads everything again. If the task has not
/// been able to make sure for longer than the greatest age that the view is up to date, the view
/// answers nothing but [`ViewError::Stale`]: the reader refuses what it was asked.
///
/// What is kept of the records is the [`Model`]'s affair: [`Items`] keeps them as they are.
///
/// Memory holds something of every record, so the table needs a bound elsewhere. Never keep the
/// plaintext of secrets in a view.
pub struct View<T, M = Items<T>> {
    shared: Arc<Shared<T, M>>,
    catch_up: mpsc::Sender<oneshot::Sender<Result<(), ViewError>>>,
    follower: AbortHandle,
}

/// Why a view does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// It may be out of date: the store could not be read, or does not tell of changes any more.
    #[error("the {name} in memory may be out of date: the store has not answered for {} s", .age.as_secs())]
    Stale {
        /// The view.
        name: &'static str,
        /// For how long.
        age: Duration,
    },
    /// The record is there but cannot be trusted.
    #[error("the record {key} cannot be trusted: {reason}")]
    Damaged {
        /// The record.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a view knows, for as long as this is held. Nothing changes meanwhile, so hold it briefly and
/// never over an `await`.
pub struct Known<'a, M>(RwLockReadGuard<'a, State<M>>);

struct Shared<T, M> {
    name: &'static str,
    table: Table<T>,
    greatest_age: Duration,
    make: Box<dyn Fn() -> M + Send + Sync>,
    state: RwLock<State<M>>,
}

struct State<M> {
    model: M,
    /// When it was last certain that nothing is missing.
    certain: Instant,
    /// The store tells of no changes any more.
    ended: bool,
}

impl<T, M> View<T, M>
where
    T: Recorded + Send + Sync + 'static,
    M: Model<T> + Send + Sync + 'static,
{
    /// Reads the table and follows it from now on.
    ///
    /// `name` stands for the records in errors, logs and metrics, in the plural. `greatest_age` is how
    /// old the view's knowledge may be, at least three seconds. `make` makes an empty model: once now,
    /// and again whenever everything is read again.
    ///
    /// # Errors
    /// [`ReadError`], but not for a damaged record.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(
        name: &'static str,
        table: Table<T>,
        greatest_age: Duration,
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Result<Self, ReadError> {
        let greatest_age = greatest_age.max(LEAST_AGE);
        refused(name).increment(0);
        follower::reloads(name).increment(0);
        // Before reading, so that nothing is missed between the two.
        let watch = table.store().watch(table.prefix().as_bytes());
        let certain = Instant::now();
        let model = follower::read_all(&table, make()).await?;
        let state = RwLock::new(State { model, certain, ended: false });
        let make = Box::new(make);
        let shared = Arc::new(Shared { name, table, greatest_age, make, state });
        let (catch_up, waiting) = mpsc::channel(WAITING);
        let follower = Follower::new(shared.clone(), watch);
        let follower = tokio::spawn(follower.run(waiting)).abort_handle();
        Ok(Self { shared, catch_up, follower })
    }

    /// The table that it shows.
    pub fn table(&self) -> &Table<T> {
        &self.shared.table
    }

    /// What is known now.
    ///
    /// # Errors
    /// [`ViewError::Stale`].
    pub fn known(&self) -> Result<Known<'_, M>, ViewError> {
        let state = self.shared.read();
        if state.ended || state.certain.elapsed() > self.shared.greatest_age {
            let name = self.shared.name;
            refused(name).increment(1);
            return Err(self.shared.stale(&state));
        }
        Ok(Known(state))
    }

    /// Lets the model forget what no reader asks for any more. It is not for changes: those are in the store.
    pub fn prune(&self, forget: impl FnOnce(&mut M)) {
        forget(&mut self.shared.write().model);
    }

    /// Waits until the view has everything that was acknowledged before this call: for those who
    /// have just committed something and read on here.
    ///
    /// # Errors
    /// [`ViewError::Stale`] if the store cannot be read.
    pub async fn catch_up(&self) -> Result<(), ViewError> {
        let (done, answer) = oneshot::channel();
        let gone = || self.shared.stale(&self.shared.read());
        self.catch_up.send(done).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn refused(name: &'static str) -> metrics::Counter {
    metrics::counter!("chancery_view_refused_total", "view" => name)
}

impl<T: Recorded + Send + Sync + 'static> View<T> {
    /// The record with this id.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn get(&self, id: &str) -> Result<Option<Arc<Stored<T>>>, ViewError> {
        self.known()?.get(id)
    }
}

impl From<Damage> for ViewError {
    fn from(Damage { key, reason }: Damage) -> Self {
        Self::Damaged { key, reason }
    }
}

impl<M> Deref for Known<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0.model
    }
}

impl<T, M> Drop for View<T, M> {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl<T, M> std::fmt::Debug for View<T, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<T, M> Shared<T, M> {
    fn read(&self) -> RwLockReadGuard<'_, State<M>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<M>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn stale(&self, state: &State<M>) -> ViewError {
        ViewError::Stale { name: self.name, age: state.certain.elapsed() }
    }
}
