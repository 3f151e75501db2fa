//! The tasks of the installation: done by one of the gateways on a store, and by another one when that is gone.

use std::sync::Arc;
use std::time::Duration;

use chancery_identity::Clock;
use chancery_records::{Lease, LeaseName};
use chancery_store::{InvalidKey, SharedStore};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pause::{Until, jittered};
use super::task::Task;
use crate::gateway_name::GatewayName;

/// How long a gateway keeps the lease after its last renewal.
const LENGTH: Duration = Duration::from_secs(30);

/// How often the other gateways try to acquire it.
const LOOK: Duration = Duration::from_secs(10);

/// The lease of the tasks, for this gateway.
pub(in crate::run) fn lease(
    store: SharedStore,
    gateway: &GatewayName,
) -> Result<Lease, InvalidKey> {
    let name = LeaseName::new("_/leases/background")?;
    Ok(Lease::new(store, name, gateway.to_string(), LENGTH))
}

/// Does the tasks while this gateway has the lease, until it is to stop; then gives the lease up.
pub(super) async fn take_turns(
    lease: Lease,
    tasks: Vec<Arc<Task>>,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let owned = metrics::gauge!("chancery_task_lease_owned");
    loop {
        owned.set(0.0);
        match lease.acquire().await {
            Ok(Some(term)) => {
                tracing::info!("this gateway does the background work of the installation");
                owned.set(1.0);
                let mut under_way = JoinSet::new();
                for task in &tasks {
                    let fence = term.fence().clone();
                    under_way.spawn(task.clone().keep_doing(clock.clone(), fence));
                }
                let work = async {
                    let mut under_way = under_way;
                    stopped(&mut stop).await;
                    // So that nothing is under way when the lease is given up.
                    under_way.shutdown().await;
                };
                match lease.hold(term, work).await {
                    Ok(()) => return owned.set(0.0),
                    Err(lost) => tracing::warn!(%lost, "lost the lease of the background tasks"),
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot acquire the lease of the background tasks");
            }
        }
        tokio::select! {
            () = Until::after(&clock, jittered(LOOK)).wait(&clock) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the gateway was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}
