//! The handle of the audit log: opens it, records events and refusals, verifies, reopens and closes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::{Clock, RequestContext};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval_at};
use zeroize::Zeroizing;

use crate::checkpoint::LogName;
use crate::condition::{Condition, Known};
use crate::keeper::{Ask, Keeper};
use crate::line::{Chain, MAX_LINE};
use crate::log::Log;
use crate::mark::{KnownMark, Mark};
use crate::paths::Names;
use crate::refusals::Refusals;
use crate::verify::{Pace, Patrol, Patrolled};
use crate::writer::{Message, Output, Writer};
use crate::{AuditConfig, AuditError, AuditKey, Event, OpenError, Sink};

/// How many events may wait for the writer before [`Audit::record`] waits too.
const QUEUE: usize = 4096;
/// How often the writer is told that time goes on, at most.
const TICK: Duration = Duration::from_mins(1);
/// How often the writer looks whether it can write.
const LOOK: Duration = Duration::from_secs(5);

/// The audit log. Cheap to clone; clones write the same log.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    /// Of a log in files.
    keeper: Option<mpsc::Sender<Ask>>,
    /// Of a log in files.
    files: Option<Arc<Files>>,
    key: Arc<AuditKey>,
    condition: watch::Receiver<Condition>,
    refusals: Arc<Refusals>,
    clock: Clock,
}

/// What is known of a log in files beside its lines.
#[derive(Debug)]
struct Files {
    names: Names,
    name: LogName,
    position: watch::Receiver<Mark>,
    clock: Clock,
}

impl Audit {
    /// Opens the log, or begins it, and starts its writer thread and, on the runtime of the caller, the
    /// task that has its mark written. A torn last line, which a crash leaves of an event that nobody
    /// was told of, is cut off and that is recorded. A log of the first format, whose lines have no
    /// MAC, is continued, once, and that is recorded. When this returns, the mark is stored.
    ///
    /// # Errors
    /// See [`OpenError`].
    ///
    /// # Panics
    /// Outside a runtime of tokio.
    pub async fn open(config: AuditConfig, clock: Clock) -> Result<Self, OpenError> {
        let key = Arc::new(AuditKey::new(&config.key)?);
        let log = Log::open(&config, &key, &clock)?;
        let names = Names::new(&config.path);
        let AuditConfig { path, name, marks, rotation, checkpoints, .. } = config;
        let mark = log.mark();
        let marked = match marks.known {
            KnownMark::At(known) if known == mark => mark.lines(),
            _ => {
                let written = (marks.write)(mark.clone()).await;
                written.map_err(|problem| OpenError::Mark { path, problem })?;
                mark.lines()
            }
        };
        let (position, follow) = watch::channel(mark);
        let (asks, asked) = mpsc::channel(1);
        let output = Output::Files { log: Box::new(log), position };
        let files = Files { names, name, position: follow.clone(), clock: clock.clone() };
        let mut audit = Self::start(output, key, Some(asks), clock)?;
        audit.files = Some(Arc::new(files));
        tokio::spawn(Keeper::new(marks.write, follow, asked, marked).run());
        let tick = rotation.age.unwrap_or(TICK).min(checkpoints).min(TICK);
        tokio::spawn(tell_time(audit.queue.downgrade(), tick.max(Duration::from_secs(1))));
        Ok(audit)
    }

    /// Begins a chain on another sink, which has no head, no mark and no memory of an earlier start.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn with_sink(
        sink: Box<dyn Sink>,
        key: &Zeroizing<Vec<u8>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let key = Arc::new(AuditKey::new(key)?);
        Self::start(Output::Sink { sink, chain: Chain::start() }, key, None, clock)
    }

    fn start(
        output: Output,
        key: Arc<AuditKey>,
        keeper: Option<mpsc::Sender<Ask>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let (known, condition) = Known::new();
        let refusals = Arc::default();
        let writer = Writer { output, key: Arc::clone(&key), clock: clock.clone(), known };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(inbox))
            .map_err(OpenError::Thread)?;
        Ok(Self { queue, keeper, files: None, key, condition, refusals, clock })
    }

    /// Writes the event. When this returns `Ok` the line is durable; concurrent events share one
    /// write. Once called the event may be written even if the future is dropped.
    ///
    /// # Errors
    /// The event is not on record, so the caller must not answer; see [`AuditError`].
    #[tracing::instrument(name = "audit.record", level = "debug", skip_all)]
    pub async fn record(&self, event: Event) -> Result<(), AuditError> {
        let trail = event.trail();
        let event = event.encode().map_err(|error| AuditError::Encoding(error.to_string()))?;
        // Sequence number, time, hashes and MAC take less than 512 bytes.
        if event.len() + 512 > MAX_LINE {
            return Err(AuditError::TooLarge(event.len()));
        }
        self.ask(|done| Message::Record { event, done }).await??;
        trail.recorded();
        Ok(())
    }

    /// Writes the event of a request that was refused for the reason with this stable code, before an operation began:
    /// one that anybody can send without end. In an hour a client has a hundred such lines, and a thousand if a
    /// certificate or a bearer token says who it is; the detail `left_out` of its next one tells how many had none.
    /// `left_out_of_others`, in the next line of whichever client, tells of those that no line of their client tells of.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn record_refusal(
        &self,
        context: &RequestContext,
        event: Event,
        code: impl Into<String>,
    ) -> Result<(), AuditError> {
        self.record_within_bound(context, event.denied(code)).await
    }

    /// Writes the event of an operation that came to nothing, which the client can repeat without end, within the same
    /// bound. What the gateway does by itself always has its line.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub async fn record_unsuccessful(
        &self,
        context: &RequestContext,
        event: Event,
    ) -> Result<(), AuditError> {
        if context.address.is_none() && context.evidence.is_none() {
            return self.record(event).await;
        }
        self.record_within_bound(context, event).await
    }

    async fn record_within_bound(
        &self,
        context: &RequestContext,
        mut event: Event,
    ) -> Result<(), AuditError> {
        let Some(left_out) = self.refusals.one_more(context, self.clock.now()) else {
            metrics::counter!("chancery_audit_refusals_left_out_total").increment(1);
            // It is counted, and needs no other line.
            event.trail().recorded();
            return Ok(());
        };
        for (name, count) in
            [("left_out", left_out.own), ("left_out_of_others", left_out.of_others)]
        {
            if count > 0 {
                event = event.detail(name, count);
            }
        }
        let recorded = self.record(event).await;
        if recorded.is_err() {
            self.refusals.untold(left_out);
        }
        recorded
    }

    /// Goes on in a new file if the one that is written was moved away, as `logrotate` does before it
    /// sends SIGHUP; says whether. If it is where it belongs, nothing happens. The mark is stored before
    /// this returns, if the store takes it.
    ///
    /// # Errors
    /// There is another file in the way, or none can be made: the lines go on into the file that was
    /// moved.
    pub async fn reopen(&self) -> Result<bool, AuditError> {
        let reopened = self.ask(|done| Message::Reopen { done }).await??;
        if reopened {
            self.store_mark(Ask::Mark).await;
        }
        Ok(reopened)
    }

    /// How the log is, as far as is known. A log in files looks every few seconds; if its last write failed and there
    /// is room on the disk, it tries to write a checkpoint, so that this becomes better by itself.
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.clone()
    }

    /// Begins to verify the log's files while they are written, on a thread of its own: all that is there, again and
    /// again, until the log is closed. What it finds is in what is returned, in the log and in the metrics; the log
    /// is written on. None if the log is in no files.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn verify_always(&self, pace: Pace) -> io::Result<Option<watch::Receiver<Patrolled>>> {
        let Some(files) = &self.files else { return Ok(None) };
        let Files { names, name, position, clock } = &**files;
        let patrol = Patrol {
            names: names.clone(),
            name: name.clone(),
            key: Arc::clone(&self.key),
            position: position.clone(),
            clock: clock.clone(),
        };
        let (told, patrolled) = watch::channel(Patrolled::default());
        let verify = move || patrol.run(pace, &told);
        std::thread::Builder::new().name("audit-verify".to_owned()).spawn(verify)?;
        Ok(Some(patrolled))
    }

    /// A name for a value that may not be written down; see [`AuditKey::hash_value`].
    pub fn keyed_hash(&self, value: &[u8]) -> String {
        self.key.hash_value(value)
    }

    /// Writes what is queued and a last checkpoint, closes the log for all clones, and has the mark
    /// stored; later events get [`AuditError::Closed`].
    pub async fn close(&self) {
        // An error means that the writer has ended already.
        let _ = self.ask(|done| Message::Close { done }).await;
        self.store_mark(Ask::End).await;
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, AuditError> {
        let (done, answer) = oneshot::channel();
        self.queue.send(message(done)).await.map_err(|_| AuditError::Closed)?;
        answer.await.map_err(|_| AuditError::Closed)
    }

    /// The keeper logs why it could not.
    async fn store_mark(&self, ask: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Ask) {
        let Some(keeper) = &self.keeper else { return };
        let (done, stored) = oneshot::channel();
        if keeper.send(ask(done)).await.is_ok() {
            let _ = stored.await;
        }
    }
}

/// Tells the writer that time goes on, until the log is closed.
async fn tell_time(queue: mpsc::WeakSender<Message>, tick: Duration) {
    let now = Instant::now();
    let (mut keep, mut look) = (interval_at(now + tick, tick), interval_at(now + LOOK, LOOK));
    loop {
        let message = tokio::select! {
            _ = keep.tick() => Message::Keep,
            _ = look.tick() => Message::Look,
        };
        let Some(queue) = queue.upgrade() else { return };
        if queue.send(message).await.is_err() {
            return;
        }
    }
}
