//! What is counted about connections.

use chancery_api::BodyError;
use metrics::{counter, gauge};

use super::activity::Ended;

/// A connection that is open until this is dropped.
pub(super) struct Open(&'static str);

pub(super) fn open(port: &'static str) -> Open {
    gauge!("chancery_server_connections", "port" => port).increment(1);
    Open(port)
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("chancery_server_connections", "port" => self.0).decrement(1);
    }
}

/// Its address had too many already.
pub(super) fn refused(port: &'static str) {
    counter!("chancery_server_connections_refused_total", "port" => port).increment(1);
}

/// The body of a request was too slow, or there was no room for it.
pub(super) fn body_refused(error: BodyError) {
    let reason = match error {
        BodyError::TooSlow => "too-slow",
        BodyError::NoRoom => "no-room",
    };
    counter!("chancery_server_bodies_refused_total", "reason" => reason).increment(1);
}

/// There was no room for an answer.
pub(super) fn answer_refused() {
    counter!("chancery_server_answers_refused_total").increment(1);
}

/// It was ended from here.
pub(super) fn ended(port: &'static str, reason: Ended) {
    counter!(
        "chancery_server_connections_ended_total", "port" => port, "reason" => reason.code()
    )
    .increment(1);
}
