//! Whether the client that sent a CSR still waits for the outcome; if so, its order can go back to `ready`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the client that sent a CSR still waits for what becomes of it. As long as it does, the CSR can be
/// refused and the order stay ready (RFC 8555 §7.4). Once somebody was told `processing`, the order ends `valid`
/// or `invalid` (§7.1.6): who polls waits for one of these.
#[derive(Debug, Default)]
pub(crate) struct Awaiting(Mutex<State>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    /// It was told that the order is processing, or went away.
    Gone,
    /// It will be told what came of it.
    Settled,
}

/// The client's side: gone when this is dropped.
pub(crate) struct Waiting(Arc<Awaiting>);

impl Awaiting {
    /// Nobody waits: the work was taken up after a restart.
    pub(crate) fn nobody() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Gone)))
    }

    /// Whether the client waits. If so, it will be told, and stays until then.
    pub(super) fn settle(&self) -> bool {
        let mut state = self.lock();
        if *state == State::Waiting {
            *state = State::Settled;
        }
        *state == State::Settled
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn shared(&self) -> Arc<Awaiting> {
        Arc::clone(&self.0)
    }

    /// The client waits no longer, and is told how the order stands. False if the outcome for it is about to be
    /// written down.
    pub(crate) fn leave(&self) -> bool {
        let mut state = self.0.lock();
        if *state == State::Waiting {
            *state = State::Gone;
        }
        *state == State::Gone
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_first_decides_and_it_stays_so() {
        let waiting = Waiting::new();
        let order = waiting.shared();
        assert!(order.settle());
        assert!(!waiting.leave());
        assert!(order.settle(), "tried again");

        let waiting = Waiting::new();
        let order = waiting.shared();
        assert!(waiting.leave());
        assert!(!order.settle());

        let waiting = Waiting::new();
        let order = waiting.shared();
        drop(waiting);
        assert!(!order.settle(), "it went away");
        assert!(!Awaiting::nobody().settle());
    }
}
