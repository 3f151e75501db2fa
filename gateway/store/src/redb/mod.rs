//! The embedded backend: one file, through the `redb` crate.
//!
//! One thread owns the database and is the only one that writes. It takes every commit that waits,
//! makes them all in one transaction of the file, and acknowledges them after the one `fdatasync`
//! that this costs: under load the price of durability is shared. After each transaction it
//! publishes a snapshot, and reads go to the newest snapshot without asking the thread for anything.
//!
//! When an operation on the file fails, `redb` refuses all further use of its handle. The writer
//! then opens the file again, which returns it to its last durable state, and publishes a snapshot
//! of that.

#[cfg(any(test, feature = "battery"))]
pub mod disk;
#[cfg(test)]
mod faults;
mod frozen;
mod guard;
mod integrity;
mod readable;
mod rebuilt;
mod snapshot;
mod space;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ::redb::{Database, DatabaseError};
use chancery_files::Readers;
use chancery_identity::Clock;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

pub use self::frozen::{Frozen, Import, peek};
pub use self::integrity::{Integrity, verify};
use self::integrity::{is_damage, open_checked};
pub use self::readable::{Gap, Readable};
pub use self::rebuilt::{Unfinished, peek_unfinished};
use self::snapshot::{Published, Snapshot};
use self::space::Space;
use self::writer::{Request, Writer};
use crate::{
    BoxFuture, Commit, CommitError, Key, OpenError, ReadError, Record, Store, Version, Watch,
    Watchers,
};

/// How many commits may wait for the writer before callers have to wait to hand theirs over.
const QUEUE: usize = 1024;

/// Scans for at most this many records run on the caller's thread, longer ones on a thread that may
/// block.
const SHORT_SCAN: usize = 64;

/// A [`Store`] in one file. Only one store at a time, in any process, has the file open. Dropping it
/// waits until the file is closed.
#[derive(Debug)]
pub struct RedbStore {
    // Taken by `drop`, which ends the writer.
    requests: Option<mpsc::Sender<Request>>,
    snapshots: watch::Receiver<Published>,
    watchers: Arc<Watchers>,
    clock: Clock,
    unfinished: Option<Unfinished>,
    writer: Option<JoinHandle<()>>,
}

/// How an embedded store treats its machine.
#[derive(Debug, Clone)]
pub struct RedbOptions {
    /// While less than this many bytes are free on the file's disk, commits that put something are
    /// refused with [`CommitError::Full`]; deletions may use what is left.
    pub reserve_bytes: u64,
    /// The most memory to use for pages of the file, in bytes.
    pub cache_bytes: usize,
    /// What its [time](Store::now) is.
    pub clock: Clock,
}

impl Default for RedbOptions {
    /// 16 MiB of disk in reserve, 128 MiB of memory, the machine's clock.
    fn default() -> Self {
        Self { reserve_bytes: 16 << 20, cache_bytes: 128 << 20, clock: Clock::system() }
    }
}

/// How the file of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitness {
    /// It can be read and written.
    Well,
    /// It can be read. What would be added is refused with [`CommitError::Full`], or was when it was last tried.
    Full,
    /// It could not be opened again after a failure.
    Unreadable,
}

/// Opens the database; again after a failure.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

impl RedbStore {
    /// Opens the store in the file `path`, which is created (mode 0600) if it does not exist. This checks every page
    /// that is in use against its checksum, which takes time in proportion to the size of the file, and returns it to
    /// its last durable state after a crash.
    ///
    /// # Errors
    /// See [`OpenError`]: in use, damaged, of another format, or out of reach.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &RedbOptions::default())
    }

    /// [`open`](Self::open) with other than the default options.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        create_private(path, true).map_err(|error| io_error(path, &error))?;
        let space = Space::of(path, options.reserve_bytes);
        let (file, cache_bytes) = (path.to_owned(), options.cache_bytes);
        let opener: Opener =
            Box::new(move || open_checked(cache_bytes, |builder| builder.create(&file)));
        Self::start(path, opener, space, options.clock.clone())
    }

    fn start(path: &Path, opener: Opener, space: Space, clock: Clock) -> Result<Self, OpenError> {
        let database = opener().map_err(|error| open_error(path, error))?;
        let snapshot = Snapshot::prepare(path, &database)?;
        let unfinished = rebuilt::read(&database).map_err(|error| OpenError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        let watchers = Arc::<Watchers>::default();
        let newest = snapshot.newest();
        let (publisher, snapshots) = watch::channel(Published::ready(snapshot));
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer =
            Writer::new(database, opener, space, newest, queue, publisher, watchers.clone());
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| io_error(path, &error))?;
        let requests = Some(requests);
        Ok(Self { requests, snapshots, watchers, clock, unfinished, writer: Some(writer) })
    }

    /// Whether the file was made anew of a damaged one, and the repair was not done when it was opened.
    pub fn unfinished(&self) -> Option<&Unfinished> {
        self.unfinished.as_ref()
    }

    /// Takes out of the file that it was made anew: the repair is done. That is durable when this returns.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`].
    pub async fn forget_rebuilt(&self) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::ForgetRebuilt { reply }).await?;
        answer.await.unwrap_or_else(|_| {
            Err(CommitError::Unavailable("the store's writer has stopped".to_owned()))
        })
    }

    /// How the file is, without writing to it.
    ///
    /// # Errors
    /// The writer has stopped.
    pub async fn fitness(&self) -> Result<Fitness, CommitError> {
        let (reply, answer) = oneshot::channel();
        self.request(Request::Tell { reply }).await?;
        let stopped = |_| CommitError::Unavailable("the store's writer has stopped".to_owned());
        answer.await.map_err(stopped)
    }

    /// The state as it is now, which does not change while it is held. For backups: reads go to the newest
    /// state by themselves.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub fn freeze(&self) -> Result<Frozen, ReadError> {
        Ok(Frozen(self.snapshots.borrow().snapshot()?))
    }

    /// Reads from the newest snapshot. If that one's file handle has failed, the writer is asked for
    /// another and the read is tried once more.
    async fn read<T, F>(&self, read: impl Fn(Snapshot) -> F + Send) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, snapshot::Error>> + Send,
    {
        let first = self.snapshots.borrow().clone();
        let failure = match first.snapshot() {
            Ok(snapshot) => match read(snapshot).await {
                Err(snapshot::Error::Storage(error)) => ReadError::Unavailable(error.to_string()),
                answer => return answer.map_err(ReadError::from),
            },
            Err(failure) => failure,
        };
        tracing::warn!(target: "store", error = %failure, "a read of the store failed");
        let generation = first.generation();
        if self.request(Request::Recover { generation }).await.is_err() {
            return Err(failure);
        }
        let mut snapshots = self.snapshots.clone();
        let is_newer = |published: &Published| published.generation() > generation;
        // A published value must not be borrowed across an await.
        let second = snapshots.wait_for(is_newer).await.map(|published| published.clone());
        match second {
            Ok(second) => Ok(read(second.snapshot()?).await?),
            Err(_) => Err(failure),
        }
    }

    async fn request(&self, request: Request) -> Result<(), CommitError> {
        let stopped = || CommitError::Unavailable("the store's writer has stopped".to_owned());
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        requests.send(request).await.map_err(|_| stopped())
    }
}

impl Store for RedbStore {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        Box::pin(self.read(|snapshot| std::future::ready(snapshot.get(key))))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(self.read(move |snapshot| {
            scan(snapshot, prefix, after, limit, |snapshot, prefix, after, limit| {
                snapshot.scan(prefix, after, limit)
            })
        }))
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        Box::pin(self.read(move |snapshot| {
            scan(snapshot, prefix, after, limit, |snapshot, prefix, after, limit| {
                snapshot.keys(prefix, after, limit)
            })
        }))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        let span = tracing::debug_span!("store.commit", writes = commit.writes().len());
        let answer = async move {
            commit.check_size()?;
            let (reply, answer) = oneshot::channel();
            self.request(Request::Commit { commit, reply }).await?;
            answer.await.unwrap_or_else(|_| {
                Err(CommitError::Unavailable("the store's writer has stopped".to_owned()))
            })
        };
        Box::pin(answer.instrument(span))
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.watchers.watch(prefix)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        Box::pin(async { Ok(self.clock.now()) })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(target: "store", "the store's writer had panicked");
        }
    }
}

/// Reads some records, or something of each.
type ReadSome<T> = fn(&Snapshot, &[u8], Option<&Key>, usize) -> Result<Vec<T>, snapshot::Error>;

async fn scan<T: Send + 'static>(
    snapshot: Snapshot,
    prefix: &[u8],
    after: Option<&Key>,
    limit: usize,
    read: ReadSome<T>,
) -> Result<Vec<T>, snapshot::Error> {
    if limit <= SHORT_SCAN {
        return read(&snapshot, prefix, after, limit);
    }
    let (prefix, after) = (prefix.to_vec(), after.cloned());
    let scan = move || read(&snapshot, &prefix, after.as_ref(), limit);
    tokio::task::spawn_blocking(scan).await.unwrap_or(Err(snapshot::Error::Cancelled))
}

/// Creates the file with mode 0600 if it is missing (or only then, unless it `may_exist`), and makes its directory entry durable: a file
/// that a power cut removes again loses every commit in it.
fn create_private(path: &Path, may_exist: bool) -> std::io::Result<()> {
    match chancery_files::create(path, &[], Readers::Owner) {
        // Through a link that leads nowhere, the database would make a file that others may read.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            if may_exist && path.exists() { Ok(()) } else { Err(error) }
        }
        created => created,
    }
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = PathBuf::from(path);
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path }
        }
        DatabaseError::Storage(error) if is_damage(&error) => {
            OpenError::Damaged { path, reason: error.to_string() }
        }
        error => OpenError::Io { path, reason: error.to_string() },
    }
}

fn io_error(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (crate::SharedStore, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (Arc::new(RedbStore::open(&directory.path().join("store.redb")).unwrap()), directory)
    }

    crate::conformance_battery!(fresh());

    #[test]
    fn nothing_is_made_through_a_symbolic_link_that_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (directory.path().join("link"), directory.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = RedbStore::open(&link).unwrap_err();
        assert!(matches!(refused, OpenError::Io { .. }), "{refused}");
        assert!(!target.exists());
    }
}
