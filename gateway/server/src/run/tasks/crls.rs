//! New CRLs, where half of their time is over or a revocation is not on them yet.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::failures::Failures;
use super::task::Task;
use crate::gateway::Gateway;

/// Of the CRLs that gateways share.
pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("crls", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            let mut failures = Failures::default();
            for ca in gateway.cas() {
                let (name, now) = (format!("the CA `{}`", ca.name()), gateway.clock.now());
                failures.note(&name, ca.refresh_crl(now, &fence).await);
                failures.note(&name, ca.forget_former_crls(now, &fence).await);
            }
            failures.outcome()
        }
    })
}

/// Of those that are too large to be shared, which each gateway makes for itself.
pub(super) fn own(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_gateway("own-crls", HOUSEKEEPING, move || {
        let gateway = gateway.clone();
        async move {
            let mut failures = Failures::default();
            for ca in gateway.cas() {
                let made = ca.refresh_own_crls(gateway.clock.now()).await;
                failures.note(format_args!("the CA `{}`", ca.name()), made);
            }
            failures.outcome()
        }
    })
}
