//! Challenges and orders that were put off, and those of gateways that are gone. Each gateway takes up some: a commit
//! claims each of them.

use std::sync::Arc;
use std::time::Duration;

use super::task::Task;
use crate::gateway::Gateway;

/// How often they are looked for.
const EVERY: Duration = Duration::from_secs(2);

pub(super) fn task(gateway: &Arc<Gateway>) -> Task {
    let gateway = gateway.clone();
    Task::of_gateway("unfinished-orders", EVERY, move || {
        let gateway = gateway.clone();
        async move {
            gateway.acme.take_up().await?;
            Ok(None)
        }
    })
}
