//! The removal of tokens that have ended.

use std::sync::Arc;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("expired-tokens", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            gateway.access.sweep_expired_tokens(&fence).await?;
            Ok(None)
        }
    })
}
