//! The removal of ACME orders that are over, and of accounts that nobody uses.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("dead-orders", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            gateway.acme.sweep(&fence).await?;
            Ok(None)
        }
    })
}
