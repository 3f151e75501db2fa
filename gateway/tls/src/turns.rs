//! Handshakes take turns, so that however many strangers want one, a part of the processors is left to
//! the connections that there are.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, ready};
use std::thread;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How many handshakes may compute at once. Waiting for the peer takes no turn.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

type NextTurn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl Turns {
    /// Half of the processors.
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }

    /// Does `work`, each step of it when there is a turn.
    pub(crate) async fn take<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut waiting: Option<NextTurn> = None;
        poll_fn(|cx: &mut Context<'_>| {
            let next = waiting.get_or_insert_with(|| Box::pin(Arc::clone(&self.0).acquire_owned()));
            // It is never closed, so there is always a turn.
            let _turn = ready!(next.as_mut().poll(cx));
            waiting = None;
            work.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_steps_are_done_at_once_than_there_are_turns() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for _ in 0..16 {
            let (turns, running, most) = (turns.clone(), running.clone(), most.clone());
            all.spawn(async move {
                let work = async {
                    for _ in 0..50 {
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        yield_now().await;
                    }
                };
                turns.take(work).await;
            });
        }
        all.join_all().await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_peer_takes_no_turn() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let mut silent = pin!(turns.take(std::future::pending::<()>()));
        assert!(poll_fn(|cx| Poll::Ready(silent.as_mut().poll(cx).is_pending())).await);
        turns.take(async {}).await;
    }
}
