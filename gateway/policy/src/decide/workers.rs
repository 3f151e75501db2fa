//! The threads that evaluate.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::schedule::{Pace, Schedule, Shares};

/// A decision that has waited longer than this is not worth making: its caller gets a denial and can
/// come again, and the queue drains.
const PATIENCE: Duration = Duration::from_secs(1);

/// The slow thread yields to everybody else.
const SLOW_NICENESS: i32 = 19;

/// The threads that run guests, so that a guest that loops holds no async worker: some for everybody,
/// and one for policies that pass their deadlines every time.
pub(crate) struct Workers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There may be something to do at the usual pace.
    usual: Condvar,
    /// There may be something to do for the slow thread.
    slow: Condvar,
}

struct State {
    schedule: Schedule<Job>,
    closed: bool,
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
    /// Starts so many threads for everybody, and the slow one.
    pub(crate) fn start(threads: usize, queue: usize) -> std::io::Result<Self> {
        let state = State { schedule: Schedule::new(queue, threads.div_ceil(2)), closed: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            usual: Condvar::new(),
            slow: Condvar::new(),
        });
        // From here on dropping it ends the threads that were started.
        let workers = Self(shared.clone());
        for number in 0..threads {
            let shared = shared.clone();
            let name = format!("policy-{number}");
            std::thread::Builder::new().name(name).spawn(move || shared.work(Pace::Usual))?;
        }
        std::thread::Builder::new().name("policy-slow".to_owned()).spawn(move || {
            // On Linux this is about the calling thread. Without permission it stays as it is.
            if let Err(error) = rustix::process::setpriority_process(None, SLOW_NICENESS) {
                tracing::debug!(%error, "the thread for slow policies keeps its priority");
            }
            shared.work(Pace::Slow);
        })?;
        Ok(workers)
    }

    /// Runs the work on one of the threads once its bindings have their turn, unless nobody waits for
    /// it any more by then.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        shares: Shares,
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
        let slow = shares.iter().any(|share| share.is_slow());
        let waiting = {
            let mut state = self.0.lock();
            let job = Job { waiting_since: Instant::now(), run };
            state.schedule.push(shares, job).map_err(|_| NotRun::Full)?;
            state.schedule.waiting()
        };
        let signal = if slow { &self.0.slow } else { &self.0.usual };
        signal.notify_one();
        metrics::gauge!("chancery_policy_queue_decisions")
            .set(u32::try_from(waiting).unwrap_or(u32::MAX));
        answer.await.unwrap_or(Err(NotRun::Lost))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.usual.notify_all();
        self.0.slow.notify_all();
    }
}

impl Shared {
    fn work(&self, pace: Pace) {
        let mut state = self.lock();
        loop {
            if let Some((lane, job)) = state.schedule.pop(pace) {
                drop(state);
                run(job);
                state = self.lock();
                state.schedule.end(&lane);
                if state.schedule.waiting() > 0 {
                    // What waited for these shares may be for another thread, or now for the slow one.
                    self.usual.notify_one();
                    self.slow.notify_one();
                }
                continue;
            }
            if state.closed {
                return;
            }
            let signal = match pace {
                Pace::Usual => &self.usual,
                Pace::Slow => &self.slow,
            };
            state = signal.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            let blocked = workers.run(vec![], move || {
                started.send(()).unwrap();
                may_go_on.recv().unwrap();
            });
            let queued = workers.run(vec![], || 2);
            tokio::pin!(blocked, queued);
            // Polled until the thread is busy and the queue holds the second job.
            let third = async {
                has_started.await.unwrap();
                std::future::poll_fn(|cx| {
                    let _ = queued.as_mut().poll(cx);
                    std::task::Poll::Ready(())
                })
                .await;
                let refused = workers.run(vec![], || 3).await;
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
            assert_eq!(
                workers.run(vec![], || panic!("on purpose")).await,
                Err::<(), _>(NotRun::Lost)
            );
            assert_eq!(workers.run(vec![], || 1).await, Ok(1));
        });
    }

    #[test]
    fn a_binding_that_blocks_leaves_threads_to_the_others() {
        let workers = Workers::start(2, 8).unwrap();
        let held = Arc::new(crate::decide::Share::new("held", None));
        let (started, has_started) = oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        block_on(async {
            let blocked = workers.run(vec![held.clone()], move || {
                started.send(()).unwrap();
                may_go_on.recv().unwrap();
            });
            let behind = workers.run(vec![held.clone()], || 2);
            let others = async {
                has_started.await.unwrap();
                for number in 0..20 {
                    let free = Arc::new(crate::decide::Share::new("free", None));
                    assert_eq!(workers.run(vec![free], move || number).await, Ok(number));
                }
                go_on.send(()).unwrap();
            };
            let (blocked, behind, ()) = tokio::join!(blocked, behind, others);
            assert_eq!((blocked, behind), (Ok(()), Ok(2)));
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
