//! Stops the waits for tokens when the process ends.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::pkcs11::locks::lock;

/// Ends the waits for tokens, because the process is to end. Copies tell the same.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Ends the wait, also one that has not begun.
    pub fn now(&self) {
        *lock(&self.0.stopped) = true;
        self.0.changed.notify_all();
    }

    /// Lets time pass. False if there is nothing to wait for any more.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let stopped = lock(&self.0.stopped);
        let (stopped, _) = self
            .0
            .changed
            .wait_timeout_while(stopped, time, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_ends_waits_that_have_begun_and_that_have_not() {
        let stop = Stop::default();
        assert!(stop.pause(Duration::ZERO));
        let copy = stop.clone();
        let waiting = std::thread::spawn(move || copy.pause(Duration::MAX));
        stop.now();
        assert!(!waiting.join().unwrap());
        assert!(!stop.pause(Duration::MAX));
    }
}
