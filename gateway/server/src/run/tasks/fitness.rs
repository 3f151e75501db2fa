//! How the store is, for those who ask for the gateway's health.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chancery_store::redb::Fitness;
use tokio::sync::watch;

use super::task::Task;
use crate::gateway::Gateway;

/// How often the store is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// How long it may take to answer. It answers after what it writes, so a disk that hangs shows here.
const LONGEST: Duration = Duration::from_secs(10);

pub(super) fn task(gateway: &Arc<Gateway>, told: watch::Sender<Fitness>) -> Task {
    let (gateway, told) = (gateway.clone(), Arc::new(told));
    Task::of_gateway("store-fitness", EVERY, move || {
        let (gateway, told) = (gateway.clone(), told.clone());
        async move {
            told.send_replace(in_time(gateway.sealed.fitness()).await);
            Ok(None)
        }
    })
}

/// What the store says; that it cannot be read, if it says nothing.
async fn in_time(fitness: impl Future<Output = Fitness>) -> Fitness {
    let answer = tokio::time::timeout(LONGEST, fitness).await;
    answer.unwrap_or_else(|_| {
        tracing::error!("the store has not answered for {} s", LONGEST.as_secs());
        Fitness::Unreadable
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_cannot_be_read() {
        assert_eq!(in_time(std::future::pending()).await, Fitness::Unreadable);
        assert_eq!(in_time(async { Fitness::Full }).await, Fitness::Full);
    }
}
