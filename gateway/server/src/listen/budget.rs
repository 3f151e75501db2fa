//! How much memory request bodies may use, altogether and for each client.
//!
//! Bytes are taken as they arrive and given back when the request is handled. No request waits for bytes:
//! requests that wait while they hold some would wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_identity::Room;

use super::meters;

/// A number of bytes that may be taken.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

/// The budgets of all bodies of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    all: Arc<Budget>,
    /// For clients without a certificate: when they have used it up, clients with one still find room.
    strangers: Arc<Budget>,
}

/// The bytes that one request has taken; dropping this gives them back.
#[derive(Debug)]
pub(super) struct Taken {
    from: Vec<Arc<Budget>>,
    bytes: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::AcqRel);
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Bodies {
    /// `limit` bytes for all bodies, half of them for bodies from clients without a certificate.
    pub(crate) fn new(limit: usize) -> Self {
        Self { all: Arc::new(Budget::new(limit)), strangers: Arc::new(Budget::new(limit / 2)) }
    }

    /// The share of one client address: a quarter.
    pub(super) fn share(&self) -> Budget {
        Budget::new(self.all.limit / 4)
    }

    /// The account of a request from a client that has this share.
    pub(super) fn account(&self, share: Option<Arc<Budget>>, stranger: bool) -> Taken {
        let strangers = stranger.then(|| self.strangers.clone());
        let from = share.into_iter().chain(strangers).chain([self.all.clone()]).collect();
        Taken { from, bytes: AtomicUsize::new(0) }
    }
}

impl Taken {
    /// Takes more bytes; false, and nothing is taken, if there is no room for them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        for (index, budget) in self.from.iter().enumerate() {
            if !budget.take(bytes) {
                self.from.iter().take(index).for_each(|budget| budget.give_back(bytes));
                return false;
            }
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        true
    }

    /// Room for the data of an answer, as long as a client waits for it. The first `short` bytes are always
    /// there: a short answer goes out even if the budget is used up.
    pub(super) fn room(self: &Arc<Self>, short: usize) -> Room {
        let (taken, short) = (Arc::downgrade(self), AtomicUsize::new(short));
        Room::of(move |bytes| {
            let Some(taken) = taken.upgrade() else { return false };
            let less = |left: usize| Some(left.saturating_sub(bytes));
            let left = short.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
            let fits = taken.take(bytes.saturating_sub(left.unwrap_or_default()));
            if !fits {
                // The collected data is no longer needed; others should not have to wait until the caller
                // notices.
                taken.settle(0);
                meters::answer_refused();
            }
            fits
        })
    }

    /// Holds exactly `bytes` from now on: takes the missing bytes, or gives back the surplus. If there is no
    /// room for the missing bytes, returns false and changes nothing.
    pub(super) fn settle(&self, bytes: usize) -> bool {
        let held = self.bytes.load(Ordering::Acquire);
        if bytes >= held {
            return self.take(bytes - held);
        }
        let surplus = held - bytes;
        self.bytes.fetch_sub(surplus, Ordering::AcqRel);
        self.from.iter().for_each(|budget| budget.give_back(surplus));
        true
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        self.from.iter().for_each(|budget| budget.give_back(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let bodies = Bodies::new(100);
        let first = bodies.account(None, false);
        assert!(first.take(60) && first.take(40));
        assert!(!first.take(1), "there is no more");
        drop(first);
        assert!(bodies.account(None, false).take(100));
        assert_eq!(bodies.all.taken(), 0);
    }

    #[test]
    fn what_was_gathered_becomes_the_answer() {
        let bodies = Bodies::new(100);
        let taken = bodies.account(None, true);
        assert!(taken.take(40));
        assert!(taken.settle(30) && taken.settle(50));
        assert!(!taken.settle(51), "strangers have half");
        assert_eq!((bodies.all.taken(), bodies.strangers.taken()), (50, 50));
        drop(taken);
        assert_eq!((bodies.all.taken(), bodies.strangers.taken()), (0, 0));
    }

    #[test]
    fn a_short_answer_has_room_always_and_one_that_nobody_waits_for_has_none() {
        let bodies = Bodies::new(100);
        let others = bodies.account(None, false);
        assert!(others.take(95));
        let taken = Arc::new(bodies.account(None, false));
        let room = taken.room(20);
        assert!(room.take(10).is_ok() && room.take(15).is_ok());
        assert_eq!(bodies.all.taken(), 100, "all but what is always there");
        assert!(room.take(1).is_err());
        assert_eq!(bodies.all.taken(), 95, "it has failed, so it needs nothing");
        drop(taken);
        assert!(room.take(1).is_err());
    }

    #[test]
    fn a_client_has_a_quarter_and_strangers_have_half() {
        let bodies = Bodies::new(100);
        let share = || Some(Arc::new(bodies.share()));
        let clients = [share(), share(), share(), share(), share()];
        let strangers = clients.clone().map(|share| bodies.account(share, true));
        let outcome = strangers.each_ref().map(|taken| taken.take(25));
        assert_eq!(outcome, [true, true, false, false, false]);
        // A refusal by one budget takes nothing from the others.
        assert_eq!(clients[2].as_ref().unwrap().taken(), 0);
        let known = clients.clone().map(|share| bodies.account(share, false));
        assert!(!known[0].take(1), "its quarter is used up, with a certificate or without");
        assert!(known[2].take(25) && known[3].take(25));
        assert!(!known[4].take(1), "nothing is left");
        drop(strangers);
        assert!(known[4].take(25));
        drop(known);
        assert_eq!(bodies.all.taken(), 0);
        assert_eq!(bodies.strangers.taken(), 0);
        assert!(clients.iter().flatten().all(|share| share.taken() == 0));
    }
}
