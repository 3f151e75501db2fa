//! All tasks of a gateway, and how they are.

use std::sync::Arc;
use std::time::Duration;

use chancery_identity::Clock;
use chancery_records::{Fence, Lease};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::owner;
use super::task::{Scope, Task};

/// How long the end of the gateway waits until the lease is given up. It then runs out by itself.
const RELEASE: Duration = Duration::from_secs(5);

/// The tasks, to be looked at.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Vec<Arc<Task>>>);

/// The tasks, under way. They end when this is dropped.
pub(crate) struct Tasks {
    of_gateway: JoinSet<()>,
    of_installation: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Registry {
    pub(super) fn new(tasks: Vec<Task>) -> Self {
        Self(Arc::new(tasks.into_iter().map(Arc::new).collect()))
    }

    /// Whether the last run of each that is done here went well, and what is known of them.
    pub(crate) fn health(&self) -> (bool, serde_json::Value) {
        let tasks: Vec<_> = self.0.iter().map(|task| task.report()).collect();
        let well = tasks.iter().all(|task| !task.here || task.last_error.is_none());
        (well, serde_json::json!({ "tasks": tasks }))
    }

    /// Begins all of them. Those of the installation are done by the owner of the lease, or by this gateway if it is
    /// alone on its store and there is none.
    pub(crate) fn begin(&self, clock: &Clock, lease: Option<Lease>) -> Tasks {
        let (stop, stopped) = watch::channel(false);
        let mut of_gateway = JoinSet::new();
        let mut of_installation = vec![];
        for task in self.0.iter().cloned() {
            if task.scope() == Scope::Installation && lease.is_some() {
                of_installation.push(task);
            } else {
                of_gateway.spawn(task.keep_doing(clock.clone(), Fence::none()));
            }
        }
        let of_installation = lease.map(|lease| {
            tokio::spawn(owner::take_turns(lease, of_installation, clock.clone(), stopped))
        });
        Tasks { of_gateway, of_installation, stop }
    }
}

impl Tasks {
    /// Ends them, and lets another gateway go on at once.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(ending) = &mut self.of_installation {
            let _ = tokio::time::timeout(RELEASE, ending).await;
        }
        self.of_gateway.shutdown().await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(task) = &self.of_installation {
            task.abort();
        }
    }
}
