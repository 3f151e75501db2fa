//! The sessions of a token at work: a queue, and threads that serve it.

mod admitted;
pub(crate) mod dispatch;
pub(crate) mod health;
pub(crate) mod job;
pub(crate) mod recovery;
pub(crate) mod replies;
pub(crate) mod threads;
pub(crate) mod worker;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use self::admitted::admitted;
use self::health::Health;
use self::job::Job;
use self::replies::ReplyBatcher;
use self::threads::Threads;
use self::worker::Worker;
use super::locks::lock;
use super::objects::directory::Directory;
use super::operations::sign::Verify;
use super::operations::{Operation, Outcome};
use super::token::Token;
use super::token::sessions::SessionSlot;
use super::token_metrics::TokenMetrics;
use super::{OpenError, Pkcs11Config};
use crate::SignError;

/// How long a caller waits before it checks whether the answer is stuck.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// One token and its worker threads, each with a session, fed by one bounded queue. PKCS#11 calls block,
/// so they happen only on these threads.
pub(crate) struct TokenPool {
    pub(crate) token: Arc<Token>,
    /// The keys that it holds.
    pub(crate) keys: Directory,
    pub(crate) health: Arc<Health>,
    /// Whether an operator has taken it out of use.
    drained: AtomicBool,
    pub(crate) metrics: TokenMetrics,
    /// None once it is shutting down. The lock is held for a push, never across an await.
    queue: RwLock<Option<Sender<Job>>>,
    jobs: Receiver<Job>,
    replies: Arc<ReplyBatcher>,
    /// Operations that were submitted and are not answered.
    outstanding: AtomicUsize,
    /// How many deadlines have passed in a row.
    late: AtomicUsize,
    busy: Arc<AtomicUsize>,
    /// The session for administration of the token.
    pub(crate) admin: SessionSlot,
    settings: Settings,
    /// All threads that call into the module for this token.
    pub(crate) threads: Threads,
    /// How many of them have a session and serve the queue.
    workers: Mutex<usize>,
}

struct Settings {
    sessions: usize,
    idle: Duration,
    session_copies: bool,
    verify: Verify,
}

impl TokenPool {
    /// A pool for a token that need not be there yet: it is first used in [`bring_up`](Self::bring_up).
    pub(crate) fn new(token: Arc<Token>, config: &Pkcs11Config) -> Self {
        let (queue, jobs) = bounded(config.queue);
        Self {
            health: Arc::new(Health::unknown(token.selector())),
            drained: AtomicBool::new(false),
            metrics: TokenMetrics::new(token.selector()),
            admin: token.sessions.slot(),
            keys: Directory::empty(token.selector().clone()),
            token,
            queue: RwLock::new(Some(queue)),
            replies: Arc::new(ReplyBatcher::new(jobs.clone())),
            jobs,
            outstanding: AtomicUsize::new(0),
            late: AtomicUsize::new(0),
            busy: Arc::default(),
            settings: Settings {
                sessions: config.sessions,
                idle: config.idle,
                session_copies: config.session_copies,
                verify: if config.verify { Verify::Always } else { Verify::Never },
            },
            threads: Threads::none(),
            workers: Mutex::default(),
        }
    }

    /// Whether new operations may be submitted.
    pub(crate) fn is_usable(&self) -> bool {
        self.health.is_up() && !self.is_drained()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    /// Why it cannot be used.
    pub(crate) fn trouble(&self) -> Option<String> {
        let drained =
            || self.is_drained().then(|| "the token is drained for maintenance".to_owned());
        self.health.trouble().or_else(drained)
    }

    /// Reaches the token, reads its keys, and starts the sessions if they are not started yet.
    pub(crate) fn bring_up(&self) -> Result<(), OpenError> {
        let failed = |doing: &'static str, reason: &dyn std::fmt::Display| OpenError::Token {
            doing,
            reason: reason.to_string(),
        };
        self.token.enter()?;
        {
            // Under the lock of a session slot: no session may survive a new initialisation of the module.
            let _slot = lock(&self.admin);
            let reading = self.token.open_session();
            let reading = reading.map_err(|fault| failed("reading the keys", &fault))?;
            self.keys.read(&reading).map_err(|error| failed("reading the keys", &error))?;
        }
        let mut workers = lock(&self.workers);
        if *workers == 0 {
            let sessions = admitted(self.settings.sessions, self.token.session_limit()?)?;
            self.start(sessions)?;
            *workers = sessions;
        }
        let hanging = self.busy.load(Ordering::Acquire) >= *workers;
        if hanging && self.late.load(Ordering::Relaxed) >= *workers {
            return Err(failed("signing", &"every session hangs in a call"));
        }
        self.late.store(0, Ordering::Relaxed);
        let keys = self.keys.len();
        tracing::info!(token = %self.token.selector(), sessions = *workers, keys, "the token is open");
        self.token.module().is_well();
        self.health.up();
        Ok(())
    }

    fn start(&self, sessions: usize) -> Result<(), OpenError> {
        let open = Arc::new(AtomicUsize::new(0));
        let worker = |_| {
            let worker = Worker {
                token: Arc::clone(&self.token),
                health: Arc::clone(&self.health),
                metrics: self.metrics.clone(),
                replies: Arc::clone(&self.replies),
                slot: self.token.sessions.slot(),
                busy: Arc::clone(&self.busy),
                open: Arc::clone(&open),
                session_copies: self.settings.session_copies,
                verify: self.settings.verify,
            };
            worker.prepare().map(|()| worker)
        };
        // All of them or none: otherwise the next attempt would start some of them twice.
        let workers: Vec<Worker> =
            (0..sessions).map(worker).collect::<Result<_, _>>().map_err(|fault| {
                OpenError::Token { doing: "opening a worker session", reason: fault.to_string() }
            })?;
        let (go, begins) = bounded(sessions);
        for (number, worker) in workers.into_iter().enumerate() {
            let (begins, jobs, idle) = (begins.clone(), self.jobs.clone(), self.settings.idle);
            let work = move || {
                if begins.recv().is_ok() {
                    serve(&worker, &jobs, idle);
                }
            };
            self.threads.start(format!("pkcs11-{number}"), work).map_err(OpenError::Thread)?;
        }
        for _ in 0..sessions {
            // There is room, and all workers listen.
            let _ = go.send(());
        }
        Ok(())
    }

    /// Operations that were submitted and are not answered.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Queues an operation and waits for its outcome, for at most `patience`.
    ///
    /// # Errors
    /// No session got to it, or none answered in time.
    pub(crate) async fn submit(
        &self,
        operation: Operation,
        patience: Duration,
    ) -> Result<Outcome, SignError> {
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let job = Job { operation, queued, deadline: queued + patience, reply };
        let _counted = Counted::new(&self.outstanding);
        self.push(job)?;
        match self.answered(answer, patience).await {
            Ok(Ok(outcome)) => {
                self.late.store(0, Ordering::Relaxed);
                Ok(outcome)
            }
            // The worker drops a job whose deadline has passed; the two clocks race.
            Ok(Err(_)) if queued.elapsed() < patience => Err(ended_early()),
            Ok(Err(_)) | Err(_) => {
                self.is_late();
                Err(SignError::Timeout { after: patience })
            }
        }
    }

    /// Waits for an answer. Checks from time to time, less often the longer it takes, whether answers are
    /// stuck behind calls that hang.
    async fn answered<T>(
        &self,
        mut answer: oneshot::Receiver<T>,
        patience: Duration,
    ) -> Result<Result<T, RecvError>, Elapsed> {
        let (mut left, mut look) = (patience, FIRST_LOOK);
        while look < left {
            if let Ok(answered) = timeout(look, &mut answer).await {
                return Ok(answered);
            }
            self.replies.flush_if_stuck();
            (left, look) = (left.saturating_sub(look), look * 2);
        }
        timeout(left, answer).await
    }

    /// Whether the token hangs: as many deadlines as there are sessions have passed in a row, and no
    /// session is free. New callers need not wait then.
    fn is_late(&self) {
        let late = self.late.fetch_add(1, Ordering::Relaxed) + 1;
        let count = *lock(&self.workers);
        if late >= count && self.busy.load(Ordering::Acquire) >= count {
            self.health.down("every session hangs in a call".to_owned());
        }
    }

    fn push(&self, job: Job) -> Result<(), SignError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return Err(ended_early()) };
        let pushed = queue.try_send(job);
        self.metrics.queue_depth(queue.len());
        pushed.map_err(|error| match error {
            TrySendError::Full(_) => SignError::Busy { waiting: queue.len() },
            TrySendError::Disconnected(_) => ended_early(),
        })
    }

    /// Takes no more jobs. Jobs in the queue are finished.
    pub(crate) fn close(&self) {
        self.health.end();
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Counts as long as it lives, whatever happens to the future that owns it.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(worker: &Worker, jobs: &Receiver<Job>, idle: Duration) {
    loop {
        match jobs.recv_timeout(idle) {
            Ok(job) => {
                worker.metrics.queue_depth(jobs.len());
                worker.serve(job);
                worker.replies.flush_if_due();
            }
            Err(RecvTimeoutError::Timeout) => worker.check(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
}

fn ended_early() -> SignError {
    SignError::Unavailable { reason: "the signer is shutting down".to_owned() }
}
