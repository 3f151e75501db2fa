//! Counts and times signatures.

use std::time::Instant;

use metrics::{counter, histogram};

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
