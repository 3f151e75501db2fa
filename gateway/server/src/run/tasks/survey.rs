//! The count of certificates that end soon: gauges of this gateway.

use std::sync::Arc;
use std::time::Duration;

use super::failures::Failures;
use super::task::Task;
use crate::gateway::Gateway;

const EVERY: Duration = Duration::from_mins(10);

/// How long a run may take: it reads the keys of the whole inventory.
const LONGEST: Duration = Duration::from_hours(1);

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    let task = Task::of_gateway("certificate-counts", EVERY, move || {
        let gateway = gateway.clone();
        async move {
            let mut failures = Failures::default();
            for tenant in gateway.tenants.all().iter() {
                let counted = gateway.issuance.survey(tenant).await;
                failures.note(format_args!("the tenant {tenant}"), counted);
            }
            failures.outcome()
        }
    });
    task.at_longest(LONGEST)
}
