//! What is done with requests, for those who ask for the gateway's health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chancery_api::{Serves, Serving};
use chancery_store::redb::Fitness;
use tokio::sync::watch;

use crate::gateway::Gateway;

pub(super) fn serves(
    gateway: &Gateway,
    accepting: &Arc<AtomicBool>,
    store: watch::Receiver<Fitness>,
) -> Serves {
    let (audit, accepting) = (gateway.audit.writable(), accepting.clone());
    Arc::new(move || serving(accepting.load(Ordering::Relaxed), *audit.borrow(), *store.borrow()))
}

fn serving(accepting: bool, audit_is_writable: bool, store: Fitness) -> Serving {
    match (accepting, audit_is_writable, store) {
        (false, _, _) => Serving::Draining,
        (true, false, _) => Serving::NoAudit,
        (true, true, Fitness::Unreadable) => Serving::NoStore,
        (true, true, Fitness::Full) => Serving::ReadOnly,
        (true, true, Fitness::Well) => Serving::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_most_is_said_first() {
        assert_eq!(serving(true, true, Fitness::Well), Serving::All);
        assert_eq!(serving(true, true, Fitness::Full), Serving::ReadOnly);
        assert_eq!(serving(true, true, Fitness::Unreadable), Serving::NoStore);
        assert_eq!(serving(true, false, Fitness::Full), Serving::NoAudit);
        assert_eq!(serving(false, false, Fitness::Unreadable), Serving::Draining);
    }
}
