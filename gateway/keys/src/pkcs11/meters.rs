use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, SharedString};

use super::TokenSelector;
use super::fault::Fault;

/// What is measured of a token.
#[derive(Clone)]
pub(super) struct Meters {
    token: SharedString,
    queue_depth: Gauge,
    queue_wait: Histogram,
    idle: Gauge,
    busy: Gauge,
}

impl Meters {
    pub(super) fn new(token: &TokenSelector) -> Self {
        let token = SharedString::from(token.value().to_owned());
        for cause in Fault::CAUSES {
            lost(&token, cause).increment(0);
        }
        Self {
            queue_depth: metrics::gauge!("chancery_keys_queue_depth", "token" => token.clone()),
            queue_wait: metrics::histogram!(
                "chancery_keys_queue_wait_seconds",
                "token" => token.clone(),
            ),
            idle: sessions(&token, "idle"),
            busy: sessions(&token, "busy"),
            token,
        }
    }

    /// How many operations lie in the queue.
    pub(super) fn queue_depth(&self, depth: usize) {
        self.queue_depth.set(number(depth));
    }

    /// How long an operation lay in the queue.
    pub(super) fn waited(&self, since: Instant) {
        self.queue_wait.record(since.elapsed().as_secs_f64());
    }

    /// How many worker sessions are open, and how many of those are in a call.
    pub(super) fn sessions(&self, open: usize, busy: usize) {
        self.idle.set(number(open.saturating_sub(busy)));
        self.busy.set(number(busy));
    }

    /// A session was given up, for this reason.
    pub(super) fn session_lost(&self, cause: &'static str) {
        lost(&self.token, cause).increment(1);
    }
}

fn lost(token: &SharedString, cause: &'static str) -> Counter {
    metrics::counter!(
        "chancery_keys_sessions_lost_total", "token" => token.clone(), "cause" => cause
    )
}

fn sessions(token: &SharedString, state: &'static str) -> Gauge {
    metrics::gauge!("chancery_keys_sessions", "token" => token.clone(), "state" => state)
}

/// How long a token takes to sign with a key.
pub(super) fn signing(token: &TokenSelector, key: &crate::KeyName) -> Histogram {
    metrics::histogram!(
        "chancery_keys_token_sign_seconds",
        "token" => token.value().to_owned(),
        "key" => key.to_string(),
    )
}

/// Whether a token can be used.
pub(super) fn token_up(token: &TokenSelector) -> Gauge {
    metrics::gauge!("chancery_keys_token_up", "token" => token.value().to_owned())
}

/// How often the module was initialised anew, by whether it did.
pub(super) fn initialised(outcome: &'static str) -> Counter {
    metrics::counter!("chancery_keys_module_initialisations_total", "outcome" => outcome)
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
