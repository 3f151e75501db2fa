use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tokio::sync::oneshot;

use super::lane::{Job, Outcome};
use super::module::lock;

/// No answer is held for longer, if the next call takes as long as the last one.
const HELD: Duration = Duration::from_millis(2);
/// Held for so long, an answer is stuck behind calls that hang.
const STUCK: Duration = Duration::from_millis(5);

/// What the sessions of a token have answered and nobody has been told yet.
///
/// To wake whoever waits takes system calls and, where every processor signs, a change of threads: a third
/// of what a P-256 signature takes in SoftHSM. So while the queue is long, answers leave in company, and
/// their number is what is left in the queue at most, so that whoever is told can ask for more in time.
/// A token that answers slowly, or has nothing more to do, tells at once.
pub(super) struct Answers {
    /// What is yet to be answered.
    jobs: Receiver<Job>,
    held: Mutex<Vec<Answer>>,
}

struct Answer {
    reply: oneshot::Sender<Outcome>,
    outcome: Outcome,
    since: Instant,
    /// What the token needed for it.
    took: Duration,
}

impl Answers {
    pub(super) fn new(jobs: Receiver<Job>) -> Self {
        Self { jobs, held: Mutex::default() }
    }

    /// Takes an answer that the token needed so long for, until [`send_if_due`](Self::send_if_due).
    pub(super) fn hold(&self, reply: oneshot::Sender<Outcome>, outcome: Outcome, took: Duration) {
        lock(&self.held).push(Answer { reply, outcome, since: Instant::now(), took });
    }

    /// To be called after every job, whatever became of it: whoever took the last one out of the queue
    /// finds it empty, and all answers that were held until then.
    pub(super) fn send_if_due(&self) {
        self.send_if(|held| {
            held.len() >= self.jobs.len()
                || held.first().is_some_and(|oldest| {
                    held.last().is_some_and(|newest| {
                        newest.outcome.is_err() || oldest.since.elapsed() + newest.took > HELD
                    })
                })
        });
    }

    /// Sends what no session will send soon.
    pub(super) fn send_if_stuck(&self) {
        self.send_if(|held| held.first().is_some_and(|oldest| oldest.since.elapsed() > STUCK));
    }

    fn send_if(&self, due: impl FnOnce(&[Answer]) -> bool) {
        let mut held = lock(&self.held);
        if !due(&held) {
            return;
        }
        let answers = std::mem::take(&mut *held);
        // Nobody waits for the lock while others are woken.
        drop(held);
        for Answer { reply, outcome, .. } in answers {
            // Whoever asked may have given up; nobody else wants the answer.
            let _ = reply.send(outcome);
        }
    }
}
