//! Threads for work that would keep an async thread for too long: signatures of large keys, batches of
//! small ones.
//!
//! An async thread serves many connections, and while it computes, all of them wait. [`Compute`] runs such
//! work on Tokio's blocking threads: no more at once than there are processors, with a bounded queue in front
//! and an end to the waiting.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

/// How many pieces of work wait for a thread.
const QUEUE: usize = 256;
/// How long a piece of work waits for a thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs work that takes a processor for more than a few hundred microseconds. Cheap to clone; clones share
/// the threads and the queue.
#[derive(Debug, Clone)]
pub struct Compute {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    patience: Duration,
}

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The queue is full, or no thread became free in time. The same may succeed a little later.
    #[error("the processors are busy with other requests: try again")]
    Busy,
    /// The work panicked, or the runtime is shutting down.
    #[error("the computation was interrupted")]
    Interrupted,
}

impl Default for Compute {
    /// As many threads as the machine has processors; 256 pieces of work wait, for at most ten seconds each.
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from), QUEUE, PATIENCE)
    }
}

impl Compute {
    /// Runs at most `threads` pieces of work at once (at least one), while at most `queue` others wait, each
    /// for no longer than `patience`.
    pub fn new(threads: usize, queue: usize, patience: Duration) -> Self {
        Self {
            running: Arc::new(Semaphore::new(threads.max(1))),
            waiting: Arc::new(Semaphore::new(queue)),
            patience,
        }
    }

    /// Runs `work` on a thread where it may take long. Work that has begun runs to its end, even if nobody
    /// waits for its result any more, and counts as running until then.
    ///
    /// # Errors
    /// [`ComputeError`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let permit = match self.running.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(ComputeError::Interrupted),
            Err(TryAcquireError::NoPermits) => {
                let place = self.waiting.try_acquire().map_err(|_| busy())?;
                let turn = self.running.clone().acquire_owned();
                let turn = tokio::time::timeout(self.patience, turn).await.map_err(|_| busy())?;
                drop(place);
                turn.map_err(|_| ComputeError::Interrupted)?
            }
        };
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| ComputeError::Interrupted)
    }
}

fn busy() -> ComputeError {
    metrics::counter!("chancery_compute_refused_total").increment(1);
    ComputeError::Busy
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "whatever a test did not expect fails it, where it happens"
    )]

    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn work_runs_beside_the_async_threads() {
        let compute = Compute::default();
        let here = std::thread::current().id();
        let there = compute.run(|| std::thread::current().id()).await.unwrap();
        assert_ne!(here, there);
    }

    #[tokio::test]
    async fn no_more_runs_than_there_are_threads_and_the_rest_waits_its_turn() {
        let compute = Compute::new(1, 1, LONG);
        let (end, ended) = mpsc::channel::<()>();
        let (begin, mut begun) = tokio::sync::mpsc::channel(1);
        let first = {
            let compute = compute.clone();
            tokio::spawn(async move {
                let work = move || {
                    begin.blocking_send(()).unwrap();
                    ended.recv().unwrap();
                };
                compute.run(work).await
            })
        };
        begun.recv().await.unwrap();
        let second = compute.run(|| 2);
        tokio::pin!(second);
        // It waits: polled once, it is not done.
        tokio::select! {
            biased;
            _ = &mut second => unreachable!("the only thread is busy"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(compute.run(|| 3).await, Err(ComputeError::Busy), "the queue is full");
        end.send(()).unwrap();
        assert_eq!(second.await, Ok(2));
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(compute.run(|| 4).await, Ok(4), "all is free again");
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let compute = Compute::new(1, 1, Duration::ZERO);
        let held = compute.running.clone().acquire_owned().await.unwrap();
        assert_eq!(compute.run(|| 1).await, Err(ComputeError::Busy));
        drop(held);
        assert_eq!(compute.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_thread_back() {
        let compute = Compute::new(1, 0, LONG);
        let lost = compute.run(|| std::panic::panic_any("expected")).await;
        assert_eq!(lost, Err(ComputeError::Interrupted));
        assert_eq!(compute.run(|| 1).await, Ok(1));
    }
}
