//! What is measured of a token.

use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, SharedString};

use crate::pkcs11::TokenSelector;
use crate::pkcs11::fault::Fault;

/// What is measured of a token.
#[derive(Clone)]
pub(crate) struct TokenMetrics {
    token: SharedString,
    queue_depth: Gauge,
    queue_wait: Histogram,
    idle: Gauge,
    busy: Gauge,
}

impl TokenMetrics {
    pub(crate) fn new(token: &TokenSelector) -> Self {
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
    pub(crate) fn queue_depth(&self, depth: usize) {
        self.queue_depth.set(number(depth));
    }

    /// How long an operation lay in the queue.
    pub(crate) fn waited(&self, since: Instant) {
        self.queue_wait.record(since.elapsed().as_secs_f64());
    }

    /// How many worker sessions are open, and how many of those are in a call.
    pub(crate) fn sessions(&self, open: usize, busy: usize) {
        self.idle.set(number(open.saturating_sub(busy)));
        self.busy.set(number(busy));
    }

    /// A session was given up, for this reason.
    pub(crate) fn session_lost(&self, cause: &'static str) {
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
pub(crate) fn signing(token: &TokenSelector, key: &crate::KeyName) -> Histogram {
    metrics::histogram!(
        "chancery_keys_token_sign_seconds",
        "token" => token.value().to_owned(),
        "key" => key.to_string(),
    )
}

/// Whether a token can be used.
pub(crate) fn token_up(token: &TokenSelector) -> Gauge {
    metrics::gauge!("chancery_keys_token_up", "token" => token.value().to_owned())
}

/// How often the module was initialised anew, by whether it did.
pub(crate) fn initialised(outcome: &'static str) -> Counter {
    metrics::counter!("chancery_keys_module_initialisations_total", "outcome" => outcome)
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
