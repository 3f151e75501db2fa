//! The thread that owns the database.

use std::sync::Arc;
use std::time::Instant;

use ::redb::{Database, ReadableTable as _, Table};
use tokio::sync::{mpsc, oneshot, watch};

use super::guard::{guarded, let_go};
use super::rebuilt;
use super::snapshot::{self, FACTS, NEWEST, Published, RECORDS, Snapshot};
use super::space::{self, Space};
use super::{Fitness, Opener};
use crate::{Commit, CommitError, Version, Watchers, Write};

/// At most this many commits share one durable write.
const GROUP_COMMITS: usize = 512;

/// A group takes no further commit once it holds this much.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// What the writer is asked to do.
pub(super) enum Request {
    /// Make this commit and say how it went.
    Commit { commit: Commit, reply: oneshot::Sender<Answer> },
    /// Open the file again, if its `generation`th handle, which failed a reader, is still in use.
    Recover { generation: u64 },
    /// Take out of the file that it was made anew.
    ForgetRebuilt { reply: oneshot::Sender<Result<(), CommitError>> },
    /// Say whether commits can be made.
    Tell { reply: oneshot::Sender<Fitness> },
}

type Answer = Result<Version, CommitError>;

/// One commit of a group.
struct Pending {
    commit: Commit,
    reply: oneshot::Sender<Answer>,
}

pub(super) struct Writer {
    // None after a failure, until the file could be opened again.
    database: Option<Database>,
    opener: Opener,
    space: Space,
    newest: Version,
    generation: u64,
    queue: mpsc::Receiver<Request>,
    publisher: watch::Sender<Published>,
    watchers: Arc<Watchers>,
    /// The last group that added something was refused for want of room.
    refused: bool,
}

impl Writer {
    pub(super) fn new(
        database: Database,
        opener: Opener,
        space: Space,
        newest: Version,
        queue: mpsc::Receiver<Request>,
        publisher: watch::Sender<Published>,
        watchers: Arc<Watchers>,
    ) -> Self {
        let database = Some(database);
        Self {
            database,
            opener,
            space,
            newest,
            generation: 0,
            queue,
            publisher,
            watchers,
            refused: false,
        }
    }

    /// Serves requests until nobody can send any, then closes the file.
    pub(super) fn run(mut self) {
        self.serve();
        let_go(self.database.take());
    }

    fn serve(&mut self) {
        while let Some(request) = self.queue.blocking_recv() {
            let group = self.gather(request);
            if !group.is_empty() {
                self.commit_group(group);
            }
        }
    }

    /// The commits that wait, beginning with `first`: as many as one durable write may carry.
    fn gather(&mut self, first: Request) -> Vec<Pending> {
        let mut group = Vec::new();
        let mut bytes = 0_usize;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Commit { commit, reply } => {
                    bytes = bytes.saturating_add(commit.len_bytes());
                    group.push(Pending { commit, reply });
                }
                Request::Recover { generation } if generation == self.generation => self.recover(),
                Request::Recover { .. } => {}
                Request::ForgetRebuilt { reply } => {
                    let _ = reply.send(self.forget_rebuilt());
                }
                Request::Tell { reply } => {
                    let _ = reply.send(self.fitness());
                }
            }
            if group.len() < GROUP_COMMITS && bytes < GROUP_BYTES {
                next = self.queue.try_recv().ok();
            }
        }
        group
    }

    fn commit_group(&mut self, group: Vec<Pending>) {
        let started = Instant::now();
        let mut group = self.refuse_without_space(group);
        if group.is_empty() {
            return;
        }
        let commits: Vec<&Commit> = group.iter().map(|pending| &pending.commit).collect();
        let mut answers = Vec::with_capacity(commits.len());
        if let Err(failure) = self.write(&commits, &mut answers) {
            answers = self.after_failure(&commits, &answers, &failure);
        }
        if commits.iter().any(|commit| adds(commit)) {
            self.refused = answers.contains(&Err(CommitError::Full));
        }
        record_group(&answers, started);
        for (pending, answer) in group.drain(..).zip(answers) {
            // A caller that went away does not need its answer.
            let _ = pending.reply.send(answer);
        }
    }

    /// Answers those commits for which there is no room on the disk, and returns the others.
    fn refuse_without_space(&self, group: Vec<Pending>) -> Vec<Pending> {
        let needed = group.iter().map(|pending| space::needed_bytes(&pending.commit)).sum();
        if !self.space.is_low(needed) {
            return group;
        }
        let (refused, rest): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|pending| adds(&pending.commit));
        for pending in refused {
            count(&Err(CommitError::Full));
            let _ = pending.reply.send(Err(CommitError::Full));
        }
        rest
    }

    /// Makes the commits in one durable write, and tells readers and watches. `answers` is what each
    /// commit is to be told, if this succeeds.
    fn write(&mut self, commits: &[&Commit], answers: &mut Vec<Answer>) -> Result<(), Failure> {
        if self.database.is_none() {
            self.recover();
        }
        let Some(database) = &self.database else { return Err(Failure::Closed) };
        let written = guarded(|| write(database, self.newest, commits, answers));
        let newest = written.map_err(Failure::of)?;
        if newest == self.newest {
            return Ok(());
        }
        self.newest = newest;
        match Snapshot::take(database) {
            Ok(snapshot) => self.publish(Ok(snapshot)),
            // The commits are durable; only this handle is not fit for reading them.
            Err(error) => {
                tracing::warn!(target: "store", %error, "no snapshot after a commit");
                self.recover();
            }
        }
        self.announce(commits, answers);
        Ok(())
    }

    /// The answers to a group whose write failed, after the file was returned to a durable state.
    /// `planned` is what its commits would have been told.
    fn after_failure(
        &mut self,
        commits: &[&Commit],
        planned: &[Answer],
        failure: &Failure,
    ) -> Vec<Answer> {
        tracing::error!(target: "store", error = %failure, "a write to the store failed");
        let before = self.newest;
        if !matches!(failure, Failure::Closed) {
            self.recover();
        }
        let landed = self.newest > before;
        if landed {
            // The commits can be read now, so the watches have to know, although nobody can vouch
            // for what a failing disk has kept.
            self.announce(commits, planned);
        }
        let answer = match failure {
            Failure::Full(_) if !landed && self.database.is_some() => CommitError::Full,
            failure => CommitError::Unavailable(failure.to_string()),
        };
        commits.iter().map(|_| Err(answer.clone())).collect()
    }

    /// Whether commits can be made. If the file is closed after a failure, this tries to open it.
    fn fitness(&mut self) -> Fitness {
        if self.database.is_none() {
            self.recover();
        }
        match &self.database {
            None => Fitness::Unreadable,
            Some(_) if self.refused || !self.space.has_room() => Fitness::Full,
            Some(_) => Fitness::Well,
        }
    }

    fn forget_rebuilt(&mut self) -> Result<(), CommitError> {
        if self.database.is_none() {
            self.recover();
        }
        let forgotten = match &self.database {
            Some(database) => rebuilt::forget(database).map_err(Failure::of),
            None => return Err(CommitError::Unavailable(Failure::Closed.to_string())),
        };
        forgotten.map_err(|failure| {
            tracing::error!(target: "store", error = %failure, "a write to the store failed");
            self.recover();
            CommitError::Unavailable(failure.to_string())
        })
    }

    /// Opens the file again, and publishes what is there or why it cannot be read.
    fn recover(&mut self) {
        metrics::counter!("chancery_store_recoveries_total").increment(1);
        // Closing releases the lock on the file, which opening takes anew.
        let_go(self.database.take());
        self.generation += 1;
        let opened = (self.opener)().map_err(::redb::Error::from);
        let taken = opened.and_then(|database| Ok((Snapshot::take(&database)?, database)));
        match taken {
            Ok((snapshot, database)) => {
                self.newest = snapshot.newest();
                self.database = Some(database);
                self.publish(Ok(snapshot));
            }
            Err(error) => {
                tracing::error!(target: "store", %error, "the store could not be opened again");
                self.publish(Err(error.to_string()));
            }
        }
    }

    fn publish(&self, state: Result<Snapshot, String>) {
        self.publisher.send_replace(Published::new(self.generation, state));
    }

    fn announce(&self, commits: &[&Commit], answers: &[Answer]) {
        for (commit, answer) in commits.iter().zip(answers) {
            if let Ok(version) = answer {
                self.watchers.publish(commit, *version);
            }
        }
    }
}

/// Why a group could not be written.
#[derive(Debug)]
enum Failure {
    Full(::redb::Error),
    Storage(::redb::Error),
    Closed,
}

impl Failure {
    fn of(error: impl Into<::redb::Error>) -> Self {
        let error = error.into();
        if space::is_full(&error) { Self::Full(error) } else { Self::Storage(error) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(error) | Self::Storage(error) => error.fmt(f),
            Self::Closed => f.write_str("its file could not be opened again after a failure"),
        }
    }
}

/// Makes the commits in one transaction; gives the newest version then, and pushes the answer to each.
fn write(
    database: &Database,
    before: Version,
    commits: &[&Commit],
    answers: &mut Vec<Answer>,
) -> Result<Version, ::redb::Error> {
    let transaction = database.begin_write()?;
    let mut newest = before;
    {
        let mut records = transaction.open_table(RECORDS)?;
        for commit in commits {
            answers.push(apply(&mut records, &mut newest, commit)?);
        }
        if newest > before {
            transaction.open_table(FACTS)?.insert(NEWEST, newest.get())?;
        }
    }
    if newest == before {
        transaction.abort()?;
    } else {
        transaction.commit()?;
    }
    Ok(newest)
}

/// Evaluates the checks of `commit`, and makes its writes if they hold.
fn apply(
    records: &mut Table<'_, &'static [u8], &'static [u8]>,
    newest: &mut Version,
    commit: &Commit,
) -> Result<Answer, ::redb::StorageError> {
    for check in commit.checks() {
        let stored = records.get(check.key.as_bytes())?;
        let holds = match (stored, check.expected) {
            (None, None) => true,
            (Some(stored), Some(expected)) => {
                snapshot::version_of(stored.value()) == Some(expected)
            }
            _ => false,
        };
        if !holds {
            return Ok(Err(CommitError::Conflict { key: check.key.clone() }));
        }
    }
    if commit.writes().is_empty() {
        return Ok(Ok(*newest));
    }
    let version = Version::new(newest.get() + 1);
    for (key, write) in commit.writes() {
        match write {
            Write::Put(value) => {
                let mut stored =
                    records.insert_reserve(key.as_bytes(), snapshot::stored_len(value.len()))?;
                snapshot::encode(stored.as_mut(), version, value);
            }
            Write::Delete => {
                records.remove(key.as_bytes())?;
            }
        }
    }
    *newest = version;
    Ok(Ok(version))
}

fn adds(commit: &Commit) -> bool {
    commit.writes().values().any(|write| matches!(write, Write::Put(_)))
}

fn record_group(answers: &[Answer], started: Instant) {
    metrics::histogram!("chancery_store_group_seconds").record(started.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a group has at most 512 commits")]
    metrics::histogram!("chancery_store_group_commits").record(answers.len() as f64);
    answers.iter().for_each(count);
}

fn count(answer: &Answer) {
    let outcome = match answer {
        Ok(_) => "ok",
        Err(CommitError::Conflict { .. }) => "conflict",
        Err(CommitError::Full) => "full",
        Err(_) => "failed",
    };
    metrics::counter!("chancery_store_commits_total", "outcome" => outcome).increment(1);
}
