//! How long each part of a connection may take.

use std::time::Duration;

use super::pace::Rate;

/// How long a peer may take for its part. These limits do not apply to the time that the gateway
/// takes for an answer: a request that is under way keeps its connection as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The TLS handshake, and before it the header of the PROXY protocol.
    pub(crate) handshake: Duration,
    /// From there to the first byte of the first request.
    pub(crate) first_byte: Duration,
    /// From the first byte of a request to the end of its headers (HTTP/1.1), or to the first request
    /// if the protocol is not known earlier.
    pub(crate) headers: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// The body of a request.
    pub(crate) body: Rate,
    /// Reading an answer: how long a peer may leave all sent bytes unread.
    pub(crate) stall: Duration,
    /// HTTP/2: how long no byte may arrive before a PING is sent.
    pub(crate) ping: Duration,
    /// HTTP/2: how long the answer to the PING may take.
    pub(crate) pong: Duration,
}

impl Deadlines {
    /// The shortest time in which a good connection can expire. A check at this interval misses
    /// nothing.
    pub(super) fn shortest(&self) -> Duration {
        self.first_byte.min(self.headers).min(self.idle).min(self.stall)
    }

    /// The rate at which a peer has to read answers: the rate of bodies, with more patience.
    pub(super) fn answers(&self) -> Rate {
        Rate { grace: self.stall, ..self.body }
    }
}
