//! Certificates that a gateway was signing when it ended.

use std::sync::Arc;

use chancery_issuance::LONGEST_SIGNING;

use super::HOUSEKEEPING;
use super::task::Task;
use crate::gateway::Gateway;

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_installation("interrupted-issuance", HOUSEKEEPING, move |fence| {
        let gateway = gateway.clone();
        async move {
            gateway.issuance.settle_interrupted(LONGEST_SIGNING, &fence).await?;
            Ok(None)
        }
    })
}
