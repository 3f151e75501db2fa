//! The metrics of CRLs and OCSP queries, for each client CA.

use jiff::Timestamp;
use metrics::{Counter, counter, gauge};

use crate::Source;
use crate::held::Held;

/// Counts a look at a CRL or a question to a responder.
pub(crate) fn fetched(kind: &'static str, good: bool) {
    let outcome = if good { "ok" } else { "failed" };
    counter!("chancery_revocation_fetches_total", "kind" => kind, "outcome" => outcome)
        .increment(1);
}

/// Counts a use of a certificate that is accepted although its status is unknown.
pub(crate) fn accepted_unknown(ca: &str) {
    of_accepted_unknown(ca).increment(1);
}

/// Has a client CA on the page before anything happens.
pub(crate) fn begin(ca: &str) {
    of_accepted_unknown(ca).increment(0);
}

fn of_accepted_unknown(ca: &str) -> Counter {
    counter!("chancery_revocation_unknown_accepted_total", "ca" => ca.to_owned())
}

/// Tells of when the CRL of a source is.
pub(crate) fn held(ca: &str, source: &Source, held: Option<&Held>) {
    let Some(Held { list, .. }) = held else { return };
    let labels = [("ca", ca.to_owned()), ("source", source.to_string())];
    gauge!("chancery_revocation_crl_this_update_timestamp_seconds", &labels)
        .set(seconds(list.this_update()));
    gauge!("chancery_revocation_crl_next_update_timestamp_seconds", &labels)
        .set(seconds(list.next_update()));
}

#[expect(clippy::cast_precision_loss, reason = "exact for the next hundred million years")]
fn seconds(moment: Timestamp) -> f64 {
    moment.as_second() as f64
}
