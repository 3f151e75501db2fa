//! The rotation of keys whose time has come, and the destruction of those that have waited long enough.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("transit-keys", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            gateway.secrets.sweep_keys(&fence).await?;
            Ok(None)
        }
    })
}
