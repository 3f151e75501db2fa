//! How long each part of a conversation may take.

use std::time::Duration;

use super::pace::Rate;

/// How long a peer may take for what it has to do. What the gateway itself takes for an answer is no
/// concern of these: a request that is under way keeps its connection, for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The TLS handshake, and before it the header of the PROXY protocol.
    pub(crate) handshake: Duration,
    /// From there to the first byte of the first request.
    pub(crate) first_byte: Duration,
    /// From the first byte of a request to the end of its headers (HTTP/1.1), or to the first request
    /// where the protocol is not known before.
    pub(crate) headers: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// The body of a request.
    pub(crate) body: Rate,
    /// Reading an answer: how long a peer may leave everything unread that was sent to it.
    pub(crate) stall: Duration,
    /// HTTP/2: after so long without a byte a PING is sent.
    pub(crate) ping: Duration,
    /// HTTP/2: and so long its answer may take.
    pub(crate) pong: Duration,
}

impl Deadlines {
    /// The shortest time in which a connection can go from being in order to having expired. Looking
    /// at it that often misses nothing.
    pub(super) fn shortest(&self) -> Duration {
        self.first_byte.min(self.headers).min(self.idle).min(self.stall)
    }

    /// The rate at which answers have to be read: as bodies, with more patience.
    pub(super) fn answers(&self) -> Rate {
        Rate { grace: self.stall, ..self.body }
    }
}
