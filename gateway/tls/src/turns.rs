//! Handshakes take turns, so that established connections keep a part of the processors, however many
//! strangers want a handshake. The client addresses are served round robin: a handshake waits for one step of
//! every other address, however many handshakes the others want.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;

use chancery_identity::client_network;
use ipnet::IpNet;
use tokio::sync::oneshot;

/// How many handshakes may ask a key's holder at once. Its queue serves others too.
const HELD: usize = 32;

/// How many handshakes may compute at once. Waiting for the peer takes no turn.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    free: usize,
    /// The clients whose handshakes wait, the next one first.
    clients: VecDeque<IpNet>,
    waiting: HashMap<IpNet, VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn; dropping it passes it on to the next handshake.
#[derive(Debug)]
struct Turn(Option<Turns>);

impl Turns {
    /// Half of the processors.
    pub(crate) fn computing() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new((processors / 2).max(1))
    }

    /// For handshakes that wait for a key's holder during their turn, which needs no processor.
    pub(crate) fn of_held_key() -> Self {
        Self::new(HELD)
    }

    fn new(turns: usize) -> Self {
        let line = Line { free: turns, clients: VecDeque::new(), waiting: HashMap::new() };
        Self(Arc::new(Mutex::new(line)))
    }

    /// Does `work` for a client, each step of it in a turn.
    pub(crate) async fn take<F: Future>(&self, client: IpAddr, work: F) -> F::Output {
        let client = client_network(client);
        let mut work = pin!(work);
        let mut waiting: Option<oneshot::Receiver<Turn>> = None;
        poll_fn(|cx: &mut Context<'_>| {
            if waiting.is_none() {
                match self.next(client) {
                    Ok(turn) => return work_in(turn, work.as_mut(), cx),
                    Err(next) => waiting = Some(next),
                }
            }
            let Some(next) = &mut waiting else { return Poll::Pending };
            // The line keeps the sender until it gives a turn.
            let turn = ready!(Pin::new(next).poll(cx)).unwrap_or(Turn(None));
            waiting = None;
            work_in(turn, work.as_mut(), cx)
        })
        .await
    }

    /// A turn, or a receiver for one.
    fn next(&self, client: IpNet) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut line = self.line();
        if line.free > 0 {
            line.free -= 1;
            return Ok(Turn(Some(self.clone())));
        }
        let (send, receive) = oneshot::channel();
        let Line { clients, waiting, .. } = &mut *line;
        let of_client = waiting.entry(client).or_default();
        if of_client.is_empty() {
            clients.push_back(client);
        }
        of_client.push_back(send);
        Err(receive)
    }

    /// Gives the turn to the next waiter.
    fn pass_on(self) {
        loop {
            let Some(next) = self.line().pop() else { return };
            let Err(mut refused) = next.send(Turn(Some(self.clone()))) else { return };
            // That waiter is gone. This one still has the turn.
            refused.0 = None;
        }
    }

    /// Takes the lock. Nothing panics while it is held, and each change is complete by itself.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does one step. The turn ends with it.
fn work_in<F: Future>(_turn: Turn, work: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    work.poll(cx)
}

impl Line {
    /// Takes the next waiter; if there is none, the turn becomes free.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(client) = self.clients.pop_front() {
            let Some(of_client) = self.waiting.get_mut(&client) else { continue };
            while of_client.pop_front_if(|next| next.is_closed()).is_some() {}
            let next = of_client.pop_front();
            if of_client.is_empty() {
                self.waiting.remove(&client);
            } else {
                self.clients.push_back(client);
            }
            if next.is_some() {
                return next;
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_steps_are_done_at_once_than_there_are_turns() {
        let turns = Turns::new(1);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for number in 0..16 {
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
                turns.take(client(number % 3), work).await;
            });
        }
        all.join_all().await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
        let line = turns.line();
        assert!(line.free == 1 && line.clients.is_empty() && line.waiting.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_peer_takes_no_turn() {
        let turns = Turns::new(1);
        let mut silent = pin!(turns.take(client(1), std::future::pending::<()>()));
        assert!(poll_fn(|cx| Poll::Ready(silent.as_mut().poll(cx).is_pending())).await);
        turns.take(client(1), async {}).await;
    }

    #[tokio::test]
    async fn one_handshake_waits_for_one_of_each_other_client() {
        let turns = Turns::new(1);
        let held = turns.next(client_network(client(0))).unwrap();
        let order = Arc::new(Mutex::new(vec![]));
        let mut all = JoinSet::new();
        // The first two clients want many.
        let wanted = [1, 1, 1, 1, 2, 2, 2, 3].map(|number| {
            let (turns, order) = (turns.clone(), order.clone());
            all.spawn(async move {
                turns.take(client(number), async { order.lock().unwrap().push(number) }).await;
            })
        });
        yield_now().await;
        assert_eq!(turns.line().waiting.len(), 3);
        // The first handshake of the second client no longer waits.
        wanted[4].abort();
        yield_now().await;
        drop(held);
        while all.join_next().await.is_some() {}
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 1, 2, 1, 1]);
        assert_eq!(turns.line().free, 1);
    }
}
