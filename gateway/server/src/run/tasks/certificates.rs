//! The removal of certificates that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use super::failures::Failures;
use super::task::Task;
use crate::gateway::Gateway;

/// How often they are looked for.
const EVERY: Duration = Duration::from_mins(10);

/// How long a run may take: the first one may find millions.
const LONGEST: Duration = Duration::from_hours(6);

pub(super) fn task(gateway: &Arc<Gateway>, keep: Duration) -> Task {
    let gateway = gateway.clone();
    let task = Task::of_installation("old-certificates", EVERY, move |fence| {
        let gateway = gateway.clone();
        async move {
            let mut failures = Failures::default();
            for tenant in gateway.tenants.all().iter() {
                let pruned = gateway.issuance.prune(tenant, keep, &fence).await;
                match failures.note(format_args!("the tenant {tenant}"), pruned) {
                    None | Some(0) => {}
                    Some(count) => {
                        tracing::info!(count, %tenant, "removed certificates that ended");
                    }
                }
            }
            failures.outcome()
        }
    });
    task.at_longest(LONGEST)
}
