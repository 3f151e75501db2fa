//! What is done with requests, for those who ask for the gateway's health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chancery_api::{Serves, Serving};
use chancery_audit::Condition;
use chancery_store::redb::Fitness;
use tokio::sync::watch;

use crate::gateway::Gateway;

pub(super) fn serves(
    gateway: &Gateway,
    accepting: &Arc<AtomicBool>,
    store: watch::Receiver<Fitness>,
) -> Serves {
    let (audit, accepting) = (gateway.audit.condition(), accepting.clone());
    Arc::new(move || serving(accepting.load(Ordering::Relaxed), *audit.borrow(), *store.borrow()))
}

fn serving(accepting: bool, audit: Condition, store: Fitness) -> Serving {
    match (accepting, audit, store) {
        (false, _, _) => Serving::Draining,
        (true, Condition::Failed, _) => Serving::NoAudit,
        (true, _, Fitness::Unreadable) => Serving::NoStore,
        (true, _, Fitness::Full) => Serving::ReadOnly,
        (true, Condition::AlmostFull, Fitness::Well) => Serving::AuditAlmostFull,
        (true, Condition::Well, Fitness::Well) => Serving::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_refuses_most_is_said_first() {
        use Condition::{AlmostFull, Failed, Well};
        assert_eq!(serving(true, Well, Fitness::Well), Serving::All);
        assert_eq!(serving(true, AlmostFull, Fitness::Well), Serving::AuditAlmostFull);
        assert_eq!(serving(true, AlmostFull, Fitness::Full), Serving::ReadOnly);
        assert_eq!(serving(true, AlmostFull, Fitness::Unreadable), Serving::NoStore);
        assert_eq!(serving(true, Failed, Fitness::Full), Serving::NoAudit);
        assert_eq!(serving(false, Failed, Fitness::Unreadable), Serving::Draining);
    }
}
