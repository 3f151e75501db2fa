use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use tokio::sync::oneshot;

/// A decision that has waited longer than this is not worth making: its caller gets a denial and can
/// come again, and the queue drains.
const PATIENCE: Duration = Duration::from_secs(1);

/// The threads that run guests, so that a guest that loops holds no async worker.
pub(crate) struct Workers {
    queue: Sender<Job>,
}

struct Job {
    waiting_since: Instant,
    /// Given `false`, only says that it was not run.
    run: Box<dyn FnOnce(bool) + Send>,
}

/// Why a decision was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRun {
    #[error("the queue of decisions is full")]
    Full,
    #[error("the decision waited too long for a thread")]
    Late,
    #[error("the thread that evaluates failed")]
    Lost,
}

impl Workers {
    pub(crate) fn start(threads: usize, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = crossbeam_channel::bounded(queue);
        for number in 0..threads {
            let receiver: Receiver<Job> = receiver.clone();
            std::thread::Builder::new().name(format!("policy-{number}")).spawn(move || {
                for job in receiver {
                    run(job);
                }
            })?;
        }
        Ok(Self { queue: sender })
    }

    /// Runs the work on one of the threads, unless nobody waits for it any more by then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRun> {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |in_time: bool| {
            if reply.is_closed() {
                return;
            }
            let result = if in_time { Ok(work()) } else { Err(NotRun::Late) };
            // The caller may have gone meanwhile.
            let _ = reply.send(result);
        });
        let waiting = metrics::gauge!("chancery_policy_queue_decisions");
        match self.queue.try_send(Job { waiting_since: Instant::now(), run }) {
            Ok(()) => waiting.set(u32::try_from(self.queue.len()).unwrap_or(u32::MAX)),
            Err(TrySendError::Full(_)) => return Err(NotRun::Full),
            Err(TrySendError::Disconnected(_)) => return Err(NotRun::Lost),
        }
        answer.await.unwrap_or(Err(NotRun::Lost))
    }
}

fn run(job: Job) {
    let in_time = job.waiting_since.elapsed() < PATIENCE;
    // A panic here is a defect of the host; the thread has to survive it, since the other tenants'
    // decisions need it. The caller learns from its dropped channel.
    if catch_unwind(AssertUnwindSafe(|| (job.run)(in_time))).is_err() {
        tracing::error!("an evaluating thread panicked; the decision is denied");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let workers = Workers::start(1, 1).unwrap();
        let (started, has_started) = oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        block_on(async {
            let blocked = workers.run(move || {
                started.send(()).unwrap();
                may_go_on.recv().unwrap();
            });
            let queued = workers.run(|| 2);
            tokio::pin!(blocked, queued);
            // Polled until the thread is busy and the queue holds the second job.
            let third = async {
                has_started.await.unwrap();
                std::future::poll_fn(|cx| {
                    let _ = queued.as_mut().poll(cx);
                    std::task::Poll::Ready(())
                })
                .await;
                let refused = workers.run(|| 3).await;
                go_on.send(()).unwrap();
                refused
            };
            let ((), refused) = tokio::join!(async { blocked.await.unwrap() }, third);
            assert_eq!(refused, Err(NotRun::Full));
            assert_eq!(queued.await, Ok(2));
        });
    }

    #[test]
    fn a_panic_costs_one_decision_and_not_the_thread() {
        let workers = Workers::start(1, 4).unwrap();
        block_on(async {
            assert_eq!(workers.run(|| panic!("on purpose")).await, Err::<(), _>(NotRun::Lost));
            assert_eq!(workers.run(|| 1).await, Ok(1));
        });
    }

    #[test]
    fn what_waited_too_long_is_not_run() {
        let (reply, answer) = std::sync::mpsc::channel();
        let since = Instant::now().checked_sub(2 * PATIENCE).unwrap();
        run(Job {
            waiting_since: since,
            run: Box::new(move |in_time| reply.send(in_time).unwrap()),
        });
        assert!(!answer.recv().unwrap());
    }
}
