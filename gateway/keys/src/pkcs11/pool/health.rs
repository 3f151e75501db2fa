//! Whether a token can be used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::Gauge;

use crate::pkcs11::locks::lock;
use crate::pkcs11::{TokenSelector, token_metrics};

/// Whether a token can be used, as its users see it. While it cannot, operations are refused at once,
/// and a thread tries to reach it.
pub(crate) struct Health {
    token: String,
    gauge: Gauge,
    state: Mutex<State>,
    /// How often it came up.
    recoveries: AtomicU64,
    changed: Condvar,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Up,
    Down {
        reason: String,
        since: Instant,
    },
    /// The token is no longer needed.
    Ended,
}

impl Health {
    /// The health of a token that was not reached yet.
    pub(crate) fn unknown(token: &TokenSelector) -> Self {
        let reason = "the token was not reached yet".to_owned();
        let state = State::Down { reason, since: Instant::now() };
        let gauge = token_metrics::token_up(token);
        gauge.set(0.0);
        let token = token.to_string();
        let (state, recoveries) = (Mutex::new(state), AtomicU64::new(0));
        Self { token, gauge, state, recoveries, changed: Condvar::new() }
    }

    /// Why the token cannot be used; none if it can.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &*lock(&self.state) {
            State::Up => None,
            State::Down { reason, .. } => Some(reason.clone()),
            State::Ended => Some("the signer is shut down".to_owned()),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        *lock(&self.state) == State::Up
    }

    /// How often it has come up, for [`down_since`](Self::down_since).
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Acquire)
    }

    /// An operation failed that began after this many recoveries. If the token came up again since, the
    /// failure says nothing about its state now.
    pub(crate) fn down_since(&self, recoveries: u64, reason: String) {
        if self.recoveries() == recoveries {
            self.down(reason);
        }
    }

    /// Marks the token as unusable, for this reason.
    pub(crate) fn down(&self, reason: String) {
        let mut state = lock(&self.state);
        match &mut *state {
            State::Up => {
                tracing::warn!(token = self.token, reason, "the token cannot be used");
                self.gauge.set(0.0);
                *state = State::Down { reason, since: Instant::now() };
                self.changed.notify_all();
            }
            State::Down { reason: known, .. } => *known = reason,
            State::Ended => {}
        }
    }

    /// Marks the token as usable.
    pub(crate) fn up(&self) {
        let mut state = lock(&self.state);
        if let State::Down { since, .. } = &*state {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(token = self.token, seconds, "the token can be used");
            self.gauge.set(1.0);
            self.recoveries.fetch_add(1, Ordering::AcqRel);
            *state = State::Up;
        }
    }

    /// Tells all waiting threads to stop.
    pub(crate) fn end(&self) {
        *lock(&self.state) = State::Ended;
        self.changed.notify_all();
    }

    /// Waits until the token cannot be used. False if there is nothing to wait for any more.
    pub(crate) fn wait_for_trouble(&self) -> bool {
        let state = lock(&self.state);
        let state = self
            .changed
            .wait_while(state, |state| *state == State::Up)
            .unwrap_or_else(PoisonError::into_inner);
        *state != State::Ended
    }

    /// Waits for this time. False if there is nothing to wait for any more.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, time, |state| *state != State::Ended)
            .unwrap_or_else(PoisonError::into_inner);
        *state != State::Ended
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn health() -> Health {
        Health::unknown(&TokenSelector::Label("t".to_owned()))
    }

    #[test]
    fn it_is_down_until_it_was_reached_and_tells_the_latest_reason() {
        let health = health();
        assert!(health.trouble().is_some());
        health.up();
        assert_eq!(health.trouble(), None);
        for reason in ["first", "second"] {
            health.down(reason.to_owned());
            assert_eq!(health.trouble().as_deref(), Some(reason));
        }
    }

    #[test]
    fn what_began_before_it_came_back_does_not_take_it_down_again() {
        let health = health();
        let began = health.recoveries();
        health.up();
        health.down_since(began, "of yesterday".to_owned());
        assert!(health.is_up());
        health.down_since(health.recoveries(), "of today".to_owned());
        assert!(!health.is_up());
    }

    #[test]
    fn who_waits_hears_of_trouble_and_of_the_end() {
        let health = Arc::new(health());
        health.up();
        let waiting = {
            let health = Arc::clone(&health);
            std::thread::spawn(move || health.wait_for_trouble())
        };
        health.down("gone".to_owned());
        assert!(waiting.join().unwrap());
        health.end();
        assert!(!health.wait_for_trouble());
        assert!(!health.pause(Duration::from_mins(1)));
        health.up();
        assert!(!health.is_up(), "what has ended does not come back");
    }
}
