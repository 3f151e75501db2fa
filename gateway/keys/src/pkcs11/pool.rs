use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use chancery_x509::SignatureAlgorithm;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::directory::{SigningKey, WrappingKey};
use super::fault::Fault;
use super::token::Token;
use super::worker::Worker;
use super::{OpenError, Pkcs11Config};
use crate::{KeyName, SignError, metrics};

/// Threads with a session each, fed by one bounded queue. PKCS#11 calls block, so they happen on
/// these threads and nowhere else.
pub(super) struct Pool {
    /// None once the pool is shutting down. The lock is held for a push, never across an await.
    queue: RwLock<Option<Sender<Job>>>,
    deadline: Duration,
    /// Disconnected when the last worker has ended; nothing is ever sent.
    ended: Mutex<Receiver<Infallible>>,
}

/// What a session can be asked to do.
pub(super) enum Operation {
    Sign { key: Arc<SigningKey>, algorithm: SignatureAlgorithm, message: Vec<u8> },
    Wrap { key: Arc<WrappingKey>, plaintext: Zeroizing<Vec<u8>>, aad: Vec<u8> },
    Unwrap { key: Arc<WrappingKey>, wrapped: Vec<u8>, aad: Vec<u8> },
}

impl Operation {
    pub(super) fn key(&self) -> &KeyName {
        match self {
            Self::Sign { key, .. } => &key.name,
            Self::Wrap { key, .. } | Self::Unwrap { key, .. } => &key.name,
        }
    }
}

/// What a session made of an operation: the result, or what went wrong in the token.
pub(super) type Outcome = Result<Zeroizing<Vec<u8>>, Fault>;

/// An operation on its way through the queue.
pub(super) struct Job {
    pub(super) operation: Operation,
    pub(super) queued: Instant,
    deadline: Instant,
    pub(super) reply: oneshot::Sender<Outcome>,
}

impl Job {
    /// Whether nobody waits for the result any more.
    pub(super) fn is_pointless(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }
}

impl Pool {
    /// Starts `sessions` workers, each with its session open.
    pub(super) fn start(
        token: &Arc<Token>,
        sessions: usize,
        config: &Pkcs11Config,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = bounded(config.queue);
        let (alive, ended) = bounded(0);
        let open = Arc::new(AtomicUsize::new(0));
        for number in 0..sessions {
            let mut worker = Worker {
                token: Arc::clone(token),
                session: None,
                open: Arc::clone(&open),
                session_copies: config.session_copies,
            };
            worker.prepare().map_err(|fault| OpenError::Token {
                doing: "opening a worker session",
                reason: fault.to_string(),
            })?;
            let (jobs, alive) = (jobs.clone(), alive.clone());
            thread::Builder::new()
                .name(format!("pkcs11-{number}"))
                .spawn(move || run(worker, &jobs, alive))
                .map_err(OpenError::Thread)?;
        }
        Ok(Self {
            queue: RwLock::new(Some(queue)),
            deadline: config.deadline,
            ended: Mutex::new(ended),
        })
    }

    /// Queues an operation and waits for its outcome, until the deadline.
    ///
    /// # Errors
    /// No session got to it, or none answered in time.
    pub(super) async fn submit(&self, operation: Operation) -> Result<Outcome, SignError> {
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        self.push(Job { operation, queued, deadline: queued + self.deadline, reply })?;
        match tokio::time::timeout(self.deadline, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            // The worker drops a job whose deadline has passed; the two clocks race.
            Ok(Err(_)) if queued.elapsed() >= self.deadline => {
                Err(SignError::Timeout { after: self.deadline })
            }
            Ok(Err(_)) => Err(ended_early()),
            Err(_) => Err(SignError::Timeout { after: self.deadline }),
        }
    }

    fn push(&self, job: Job) -> Result<(), SignError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return Err(ended_early()) };
        let pushed = queue.try_send(job);
        metrics::queue_depth(queue.len());
        pushed.map_err(|error| match error {
            TrySendError::Full(_) => SignError::Busy { waiting: queue.len() },
            TrySendError::Disconnected(_) => ended_early(),
        })
    }

    /// Takes no more jobs, lets those in the queue finish, and waits for the workers to end: but no
    /// longer than `grace`, since a call that hangs in the module cannot be interrupted. Whether all
    /// have ended.
    pub(super) fn shut_down(&self, grace: Duration) -> bool {
        drop(self.queue.write().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(ended.recv_timeout(grace), Err(RecvTimeoutError::Disconnected))
    }
}

fn run(mut worker: Worker, jobs: &Receiver<Job>, alive: Sender<Infallible>) {
    while let Ok(job) = jobs.recv() {
        metrics::queue_depth(jobs.len());
        worker.serve(job);
    }
    // In this order: who waits for the workers' end relies on their sessions being closed.
    drop(worker);
    drop(alive);
}

fn ended_early() -> SignError {
    SignError::Unavailable { reason: "the signer is shutting down".to_owned() }
}
