//! Certificates that a gateway was signing when it ended, and what is on record of those from which nothing came.

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
            gateway.issuance.forget_abandoned(&fence).await?;
            Ok(None)
        }
    })
}
