//! New CRLs, where half of their time is over or a revocation is not on them yet.

use std::sync::Arc;

use anyhow::Context;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("crls", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            let mut outcome = Ok(None);
            for ca in gateway.cas() {
                let made = ca.refresh_crl(gateway.clock.now(), &fence).await;
                if let Err(error) = made.with_context(|| format!("the CA `{}`", ca.name())) {
                    // One CA does not keep the others.
                    outcome = Err(error);
                }
            }
            outcome
        }
    })
}
