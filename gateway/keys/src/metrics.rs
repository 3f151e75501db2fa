use std::time::Instant;

use metrics::{counter, gauge, histogram};

use crate::SignError;

/// Counts a request for a signature by how it ended and, if there is one, times it from the request
/// to the answer.
pub(crate) fn signed(backend: &'static str, since: Instant, result: &Result<Vec<u8>, SignError>) {
    let outcome = result.as_ref().err().map_or("ok", SignError::outcome);
    counter!("chancery_keys_signatures_total", "backend" => backend, "outcome" => outcome)
        .increment(1);
    if result.is_ok() {
        histogram!("chancery_keys_signature_seconds", "backend" => backend)
            .record(since.elapsed().as_secs_f64());
    }
}

/// How long an operation lay in the token's queue.
pub(crate) fn waited(since: Instant) {
    histogram!("chancery_keys_queue_wait_seconds").record(since.elapsed().as_secs_f64());
}

/// How many operations lie in the token's queue.
pub(crate) fn queue_depth(depth: usize) {
    gauge!("chancery_keys_queue_depth").set(f64::from(u32::try_from(depth).unwrap_or(u32::MAX)));
}

/// How many worker sessions are open.
pub(crate) fn sessions(open: usize) {
    gauge!("chancery_keys_sessions").set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
}

/// A session was given up, for this reason.
pub(crate) fn session_lost(cause: &'static str) {
    counter!("chancery_keys_sessions_lost_total", "cause" => cause).increment(1);
}
