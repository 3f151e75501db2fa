//! How the store is, for those who ask for the gateway's health.

use std::sync::Arc;
use std::time::Duration;

use chancery_store::redb::Fitness;
use tokio::sync::watch;

use super::task::Task;
use crate::gateway::Gateway;

/// How often the store is looked at.
const EVERY: Duration = Duration::from_secs(5);

pub(super) fn task(gateway: &Arc<Gateway>, told: watch::Sender<Fitness>) -> Task {
    let (gateway, told) = (gateway.clone(), Arc::new(told));
    Task::of_gateway("store-fitness", EVERY, move || {
        let (gateway, told) = (gateway.clone(), told.clone());
        async move {
            told.send_replace(gateway.sealed.fitness().await);
            Ok(None)
        }
    })
}
