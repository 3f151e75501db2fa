//! The replacement of the tenants' sealing keys that are in use for long.
//!
//! The seal is below the records and knows no fence. It needs none: a key has a number that is used once, so that of
//! two gateways that replace a key at the same time one does.

use std::sync::Arc;
use std::time::Duration;

use super::task::Task;
use crate::gateway::Gateway;

/// How often the age of sealing keys is looked at.
const EVERY: Duration = Duration::from_hours(1);

pub(super) fn task(gateway: &Arc<Gateway>, longest: Option<Duration>) -> Task {
    let longest = longest.map_or(u64::MAX, |longest| longest.as_secs());
    let gateway = gateway.clone();
    Task::of_installation("sealing-keys", EVERY, move |_| {
        let gateway = gateway.clone();
        async move {
            let now = u64::try_from(gateway.clock.now().as_second()).unwrap_or(0);
            gateway.sealed.barrier.rotate_due(now, longest).await?;
            Ok(None)
        }
    })
}
