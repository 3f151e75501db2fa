use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chancery_identity::Clock;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::file::FileSink;
use crate::line::{self, Tip};
use crate::{AuditKey, Event, HeadError, Sink, WeakKey};

/// How many events may wait for the writer before [`Audit::record`] waits too.
const QUEUE: usize = 4096;
/// The most bytes that go into one write.
const GROUP_BYTES: usize = 4 * line::MAX_LINE;

/// The audit log. Cheap to clone; clones write the same log.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    key: Arc<AuditKey>,
}

/// Where the audit log is and what seals it.
pub struct AuditConfig {
    /// The log file; its head is kept beside it as `PATH.head`. Both are made with mode 0600.
    pub path: PathBuf,
    /// At least 32 random bytes, the same at every start.
    pub key: Zeroizing<Vec<u8>>,
}

/// The event is not on record: the caller must not answer as if the operation was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The sink refused, for instance because the disk is full.
    #[error("the audit log could not be written: {0}")]
    Write(Arc<io::Error>),
    /// The log was closed, because the gateway is stopping.
    #[error("the audit log is closed")]
    Closed,
    /// The event does not fit into a line.
    #[error("the audit event has {0} bytes; a line holds at most {max}", max = line::MAX_LINE)]
    TooLarge(usize),
    /// The event is not expressible as JSON.
    #[error("the audit event cannot be encoded: {0}")]
    Encoding(String),
}

/// Why a log was not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key is too short.
    #[error(transparent)]
    Key(#[from] WeakKey),
    /// The file system refused.
    #[error("audit log {path}: {doing} failed: {cause}")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// Another process writes this log.
    #[error("audit log {0} is in use by another process")]
    InUse(PathBuf),
    /// The head does not fit: missing, damaged or made with another key.
    #[error("audit log {path}: {problem}")]
    Head {
        /// The log.
        path: PathBuf,
        /// What is wrong with its head.
        problem: HeadError,
    },
    /// The log does not continue from what its head sealed.
    #[error(
        "audit log {path}: {problem}; look at it with `chancery audit verify`, keep it as evidence, \
         and move it away together with its head to begin a new log"
    )]
    Broken {
        /// The log.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The writer thread could not be started.
    #[error("the audit writer could not be started: {0}")]
    Thread(io::Error),
}

enum Message {
    Record { event: Vec<u8>, done: oneshot::Sender<Result<(), AuditError>> },
    Close { done: oneshot::Sender<()> },
}

impl Audit {
    /// Opens the log, or begins it, and starts its writer thread. A torn last line, which a crash
    /// leaves of an event that nobody was told of, is cut off and that is recorded.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: AuditConfig, clock: Clock) -> Result<Self, OpenError> {
        let AuditConfig { path, key } = config;
        let key = Arc::new(AuditKey::new(&key)?);
        let (sink, tip) = FileSink::open(&path, Arc::clone(&key), &clock)?;
        Self::start(Box::new(sink), tip, key, clock)
    }

    /// Begins a chain on another sink, which has no head and no memory of an earlier start.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn with_sink(
        sink: Box<dyn Sink>,
        key: &Zeroizing<Vec<u8>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::start(sink, Tip::start(), Arc::new(AuditKey::new(key)?), clock)
    }

    fn start(
        sink: Box<dyn Sink>,
        tip: Tip,
        key: Arc<AuditKey>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (queue, inbox) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || Writer { sink, tip, clock }.run(inbox))
            .map_err(OpenError::Thread)?;
        Ok(Self { queue, key })
    }

    /// Writes the event. When this returns `Ok` the line is durable; concurrent events share one
    /// write. Once called the event may be written even if the future is dropped.
    ///
    /// # Errors
    /// The event is not on record, so the caller must not answer; see [`AuditError`].
    #[tracing::instrument(name = "audit.record", level = "debug", skip_all)]
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        let event =
            serde_json::to_vec(&event).map_err(|error| AuditError::Encoding(error.to_string()))?;
        // Sequence number, time and two hashes take less than 512 bytes.
        if event.len() + 512 > line::MAX_LINE {
            return Err(AuditError::TooLarge(event.len()));
        }
        let (done, written) = oneshot::channel();
        let message = Message::Record { event, done };
        self.queue.send(message).await.map_err(|_| AuditError::Closed)?;
        written.await.map_err(|_| AuditError::Closed)?
    }

    /// A name for a value that may not be written down; see [`AuditKey::hash_value`].
    pub fn keyed_hash(&self, value: &[u8]) -> String {
        self.key.hash_value(value)
    }

    /// Writes what is queued and closes the log for all clones; later events get
    /// [`AuditError::Closed`].
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close { done }).await.is_ok() {
            // An error means that the writer has ended already.
            let _ = closed.await;
        }
    }
}

/// The thread that owns the sink: takes what waits, writes it at once, then tells everybody.
struct Writer {
    sink: Box<dyn Sink>,
    tip: Tip,
    clock: Clock,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut lines = Vec::new();
        let mut waiting = Vec::new();
        while let Some(first) = inbox.blocking_recv() {
            let mut tip = self.tip.clone();
            let mut closing = None;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Record { event, done } => {
                        tip = line::write(&mut lines, &tip, self.clock.now(), &event);
                        waiting.push(done);
                        if lines.len() < GROUP_BYTES {
                            next = inbox.try_recv().ok();
                        }
                    }
                    Message::Close { done } => closing = Some(done),
                }
            }
            self.write(&lines, tip, &mut waiting);
            lines.clear();
            if let Some(done) = closing {
                // Closed before the answer, so that the file can be opened again at once.
                drop((self.sink, inbox));
                let _ = done.send(());
                return;
            }
        }
    }

    fn write(
        &mut self,
        lines: &[u8],
        tip: Tip,
        waiting: &mut Vec<oneshot::Sender<Result<(), AuditError>>>,
    ) {
        if waiting.is_empty() {
            return;
        }
        let started = Instant::now();
        let result = self.sink.append(lines, &tip);
        metrics::histogram!("chancery_audit_write_seconds").record(started.elapsed());
        let count = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let answer = match result {
            Ok(()) => {
                self.tip = tip;
                metrics::counter!("chancery_audit_lines_total").increment(count);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, events = count, "the audit log could not be written");
                metrics::counter!("chancery_audit_failures_total").increment(count);
                Err(AuditError::Write(Arc::new(error)))
            }
        };
        for done in waiting.drain(..) {
            // A caller that has gone away does not need to know.
            let _ = done.send(answer.clone());
        }
    }
}
