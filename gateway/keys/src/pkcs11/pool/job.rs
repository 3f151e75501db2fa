//! An operation that waits for a session.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::pkcs11::operations::{Operation, Outcome};

/// An operation on its way through the queue.
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) queued: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

impl Job {
    /// Whether nobody waits for the result any more.
    pub(crate) fn is_pointless(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }
}
