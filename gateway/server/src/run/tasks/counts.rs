//! The removal of what no count of certificates needs any more.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("old-counts", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            gateway.counts.sweep(&fence).await?;
            Ok(None)
        }
    })
}
