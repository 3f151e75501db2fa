//! What becomes known of a request while it is handled, for what is said of it at its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::Identity;

/// Whether the audit log has a line about a request, and who turned out to have sent it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    is_recorded: AtomicBool,
    sender: OnceLock<Sender>,
}

/// Who sent a request, other than by the certificate of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// The holder of a bearer token of this identity.
    Bearer {
        /// Whose token it is.
        identity: Identity,
        /// The token's accessor.
        accessor: String,
    },
    /// The ACME account with this id, whose signature was good.
    Account(String),
}

impl Trail {
    /// The audit log has a line about the request.
    pub fn recorded(&self) {
        self.0.is_recorded.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub fn is_recorded(&self) -> bool {
        self.0.is_recorded.load(Ordering::Acquire)
    }

    /// Says who sent the request. Who was named first stays.
    pub fn name(&self, sender: impl FnOnce() -> Sender) {
        self.0.sender.get_or_init(sender);
    }

    /// Who was named.
    pub fn sender(&self) -> Option<&Sender> {
        self.0.sender.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_know_the_same_and_the_first_name_stays() {
        let trail = Trail::default();
        let clone = trail.clone();
        assert!(!trail.is_recorded() && trail.sender().is_none());
        clone.recorded();
        for id in ["one", "two"] {
            clone.name(|| Sender::Account(id.to_owned()));
        }
        assert!(trail.is_recorded());
        assert_eq!(trail.sender(), Some(&Sender::Account("one".to_owned())));
    }
}
