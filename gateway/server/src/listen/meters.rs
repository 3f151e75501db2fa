//! What is counted about connections.

use chancery_api::BodyError;
use metrics::{Counter, counter, gauge};

use super::activity::Ended;
use super::denied::Denied;
use super::displacing::Why;

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

/// A connection with a verified client certificate until this is dropped.
#[derive(Debug)]
pub(super) struct Verified(&'static str);

pub(super) fn verified(port: &'static str) -> Verified {
    gauge!("chancery_server_connections_verified", "port" => port).increment(1);
    Verified(port)
}

impl Drop for Verified {
    fn drop(&mut self) {
        gauge!("chancery_server_connections_verified", "port" => self.0).decrement(1);
    }
}

/// Has everything that may happen at a port on the page, at 0 until it does.
pub(super) fn begin(port: &'static str) {
    for denied in Denied::ALL {
        of_refused(port, denied).increment(0);
    }
    for why in Why::ALL {
        of_displaced(port, why).increment(0);
    }
    for reason in Ended::ALL {
        of_ended(port, reason).increment(0);
    }
}

/// It got no place.
pub(super) fn refused(port: &'static str, denied: Denied) {
    of_refused(port, denied).increment(1);
}

fn of_refused(port: &'static str, denied: Denied) -> Counter {
    counter!(
        "chancery_server_connections_refused_total", "port" => port, "reason" => denied.code()
    )
}

/// It made room for another.
pub(super) fn displaced(port: &'static str, why: Why) {
    of_displaced(port, why).increment(1);
}

fn of_displaced(port: &'static str, why: Why) -> Counter {
    counter!(
        "chancery_server_connections_displaced_total", "port" => port, "why" => why.code()
    )
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
    of_ended(port, reason).increment(1);
}

fn of_ended(port: &'static str, reason: Ended) -> Counter {
    counter!(
        "chancery_server_connections_ended_total", "port" => port, "reason" => reason.code()
    )
}
