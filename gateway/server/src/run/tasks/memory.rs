//! What this gateway has in memory and nobody needs any more.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_gateway("memory", HOUSEKEEPING, move || {
        gateway.counts.forget();
        std::future::ready(Ok(None))
    })
}
