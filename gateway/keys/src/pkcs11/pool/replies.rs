//! Sends replies in batches.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;

use crate::pkcs11::locks::lock;
use crate::pkcs11::{operations::Outcome, pool::job::Job};

/// The longest time for which an answer is held, if the next call takes as long as the last one.
const HELD: Duration = Duration::from_millis(2);
/// An answer that was held this long is stuck behind calls that hang.
const STUCK: Duration = Duration::from_millis(5);

/// Holds the replies of a token's sessions that no caller has received yet.
///
/// To wake a waiting task takes system calls and, where every processor signs, a change of threads: a
/// third of the time of a P-256 signature in SoftHSM. So while the queue is long, answers are sent in
/// groups. A group is at most as large as the rest of the queue, so that the woken tasks can submit more
/// in time. A token that answers slowly, or has nothing more to do, sends at once.
pub(crate) struct ReplyBatcher {
    /// The jobs that are not answered yet.
    jobs: Receiver<Job>,
    held: Mutex<Vec<Answer>>,
}

struct Answer {
    reply: oneshot::Sender<Outcome>,
    outcome: Outcome,
    since: Instant,
    /// How long the token took for it.
    took: Duration,
}

impl ReplyBatcher {
    pub(crate) fn new(jobs: Receiver<Job>) -> Self {
        Self { jobs, held: Mutex::default() }
    }

    /// Holds an answer, for which the token took the time `took`, until
    /// [`flush_if_due`](Self::flush_if_due).
    pub(crate) fn hold(&self, reply: oneshot::Sender<Outcome>, outcome: Outcome, took: Duration) {
        lock(&self.held).push(Answer { reply, outcome, since: Instant::now(), took });
    }

    /// Call this after every job, whatever its outcome: the session that took the last job finds the queue
    /// empty, and sends all answers that were held until then.
    pub(crate) fn flush_if_due(&self) {
        self.send_if(|held| {
            held.len() >= self.jobs.len()
                || held.first().is_some_and(|oldest| {
                    held.last().is_some_and(|newest| {
                        newest.outcome.is_err() || oldest.since.elapsed() + newest.took > HELD
                    })
                })
        });
    }

    /// Sends answers that no session will send soon.
    pub(crate) fn flush_if_stuck(&self) {
        self.send_if(|held| held.first().is_some_and(|oldest| oldest.since.elapsed() > STUCK));
    }

    fn send_if(&self, due: impl FnOnce(&[Answer]) -> bool) {
        let mut held = lock(&self.held);
        if !due(&held) {
            return;
        }
        let answers = std::mem::take(&mut *held);
        // Release the lock before waking others.
        drop(held);
        for Answer { reply, outcome, .. } in answers {
            // The caller may have given up; nobody else needs the answer.
            let _ = reply.send(outcome);
        }
    }
}
