//! The thread that owns the log: takes all lines that wait, writes them together, then tells all callers.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use chancery_identity::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::condition::Known;
use crate::line::{Chain, MAX_LINE};
use crate::log::Log;
use crate::{AuditError, AuditKey, Mark, Sink};

/// The most bytes that go into one write.
const GROUP_BYTES: usize = 4 * MAX_LINE;

/// A message to the thread.
pub(crate) enum Message {
    Record {
        event: Vec<u8>,
        done: Done,
    },
    /// Time has passed.
    Keep,
    /// It is time to look whether the log can be written.
    Look,
    Reopen {
        done: oneshot::Sender<Result<bool, AuditError>>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

type Done = oneshot::Sender<Result<(), AuditError>>;

/// Where the lines go.
pub(crate) enum Output {
    /// Into files. Followers of the position learn how far they came.
    Files { log: Box<Log>, position: watch::Sender<Mark> },
    /// Into a sink, which has no memory of an earlier start.
    Sink { sink: Box<dyn Sink>, chain: Chain },
}

impl Output {
    fn chain(&self) -> &Chain {
        match self {
            Self::Files { log, .. } => log.chain(),
            Self::Sink { chain, .. } => chain,
        }
    }

    fn append(&mut self, lines: &[u8], next: Chain) -> io::Result<()> {
        match self {
            Self::Files { log, .. } => log.append(lines, next),
            Self::Sink { sink, chain } => {
                sink.append(lines, &next.tip)?;
                *chain = next;
                Ok(())
            }
        }
    }

    fn with_log<T>(&mut self, work: impl FnOnce(&mut Log) -> T) -> Option<T> {
        match self {
            Self::Files { log, .. } => Some(work(log)),
            Self::Sink { .. } => None,
        }
    }

    fn tell_position(&self) {
        if let Self::Files { log, position } = self {
            position.send_replace(log.mark());
        }
    }
}

pub(crate) struct Writer {
    pub(crate) output: Output,
    pub(crate) key: Arc<AuditKey>,
    pub(crate) clock: Clock,
    /// Whether the next write can succeed, as far as is known.
    pub(crate) known: Known,
}

/// Drops the messages that were sent while the log was closed; dropping a message tells its sender.
/// Dropping only the queue could miss a message that is being sent at that moment: its sender would wait
/// for ever, because the sender itself holds the queue open.
fn refuse_the_rest(mut inbox: mpsc::Receiver<Message>) {
    inbox.close();
    while inbox.blocking_recv().is_some() {}
}

impl Writer {
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut lines = Vec::new();
        let mut waiting = Vec::new();
        while let Some(first) = inbox.blocking_recv() {
            let mut chain = self.output.chain().clone();
            let mut other = None;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Record { event, done } => {
                        chain.write(&mut lines, self.clock.now(), &event, &self.key);
                        waiting.push(done);
                        if lines.len() < GROUP_BYTES {
                            next = inbox.try_recv().ok();
                        }
                    }
                    message => other = Some(message),
                }
            }
            self.write(&lines, chain, &mut waiting);
            lines.clear();
            match other {
                None | Some(Message::Record { .. }) => {}
                Some(Message::Keep) => drop(self.output.with_log(Log::keep)),
                Some(Message::Look) => self.look(),
                Some(Message::Reopen { done }) => {
                    let opened = self.output.with_log(Log::reopen).unwrap_or(Ok(false));
                    self.output.tell_position();
                    let _ = done.send(opened.map_err(|error| AuditError::Write(Arc::new(error))));
                }
                Some(Message::Close { done }) => {
                    self.output.with_log(Log::stop);
                    self.output.tell_position();
                    // Close it before answering, so that the file can be opened again at once.
                    drop(self.output);
                    refuse_the_rest(inbox);
                    let _ = done.send(());
                    return;
                }
            }
            self.output.tell_position();
        }
    }

    /// Finds out whether the next lines can be written.
    fn look(&mut self) {
        // A sink without files is looked at when it is written.
        let Some(has_room) = self.output.with_log(|log| log.has_room()) else { return };
        self.known.looked(has_room);
        // What little room there is, is for events: each of them tries the log itself.
        if self.known.has_failed() && has_room {
            let retried = self.output.with_log(Log::retry);
            if let Some(Err(error)) = &retried {
                tracing::debug!(%error, "the audit log cannot be written");
            }
            self.known.wrote(matches!(retried, Some(Ok(()))));
        }
    }

    fn write(&mut self, lines: &[u8], chain: Chain, waiting: &mut Vec<Done>) {
        if waiting.is_empty() {
            return;
        }
        let started = Instant::now();
        let result = self.output.append(lines, chain);
        metrics::histogram!("chancery_audit_write_seconds").record(started.elapsed());
        let count = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        self.known.wrote(result.is_ok());
        let answer = match result {
            Ok(()) => {
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
            // The caller may have gone away and needs no answer.
            let _ = done.send(answer.clone());
        }
    }
}
