//! The metrics of TLS handshakes, and the expiry of the gateway's own certificate.

use std::time::Instant;

use jiff::Timestamp;
use metrics::{counter, gauge, histogram};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use crate::AcceptError;

/// Counts and times a handshake that was done.
pub(crate) fn accepted(since: Instant, connection: &ServerConnection) {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "other",
    };
    let kind = match connection.handshake_kind() {
        Some(HandshakeKind::Resumed) => "resumed",
        _ => "full",
    };
    counter!(
        "chancery_tls_handshakes_total", "outcome" => "ok", "version" => version, "kind" => kind
    )
    .increment(1);
    histogram!("chancery_tls_handshake_seconds", "kind" => kind)
        .record(since.elapsed().as_secs_f64());
}

/// Counts a handshake that was not.
pub(crate) fn refused(error: &AcceptError) {
    counter!("chancery_tls_handshakes_total", "outcome" => error.outcome()).increment(1);
}

/// When the gateway's own certificate ends, in seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "exact for the next hundred million years")]
pub(crate) fn credential_expires(not_after: Timestamp) {
    gauge!("chancery_tls_credential_expiry_timestamp_seconds").set(not_after.as_second() as f64);
}
