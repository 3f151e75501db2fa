//! The host: it holds the set in force, replaces it, and asks it.

mod ask;
mod background;
mod config;
mod each;
mod offline;
mod reload;
mod reuse;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use chancery_files::Trusted;
use chancery_identity::Clock;
use chancery_sandbox::Sandbox;
pub use config::PolicyConfig;
pub use each::EachVerdict;
pub use offline::{earlier_set, policy_history, remember_earlier, roll_back};
use reuse::Reuse;
use tokio::sync::oneshot;

use crate::binding::{Known, Sources};
use crate::component::Artifacts;
use crate::contract::Lookups;
use crate::decide::Workers;
use crate::question::Operations;
use crate::set::{
    Candidate, Current, History, InForce, LoadError, PolicySet, Signers, Summary, TakenSet,
};

/// Asks the policies. Cheap to clone; clones share everything, and the threads end with the last one.
#[derive(Clone)]
pub struct PolicyHost(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    trusted: Trusted,
    // Before the sandbox, so that nothing is evaluated any more when that goes.
    workers: Workers,
    current: ArcSwap<Current>,
    artifacts: Artifacts,
    history: Option<History>,
    clock: Clock,
    lookups: Lookups,
    sandbox: Sandbox,
    reuse: Reuse,
    operations: Operations,
    /// Whose signatures count, and what documents may refer to. Held during a reload: one at a time.
    terms: Mutex<(Signers, Known)>,
}

impl PolicyHost {
    /// Loads every binding in the directory and starts the evaluating threads. Blocks while components
    /// are compiled.
    ///
    /// # Errors
    /// The first thing that is wrong with a binding, a plugin or a directory; nothing is running then.
    pub fn open(config: PolicyConfig) -> Result<Self, LoadError> {
        // One more for the slow thread.
        let sandbox = Sandbox::new(config.workers.max(1) + 1)?;
        let threads = (sandbox.concurrency - 1).max(1);
        let trusted = config.trusted;
        let artifacts = Artifacts::open(&config.cache, config.compiler, &trusted)?;
        let history = config.history.map(|at| History::open(&at, &trusted)).transpose()?;
        let candidate = Candidate::load(
            &sandbox,
            &artifacts,
            &config.lookups,
            Sources::new(&config.directory, &trusted),
            (&config.signers, &config.known),
            None,
        )?;
        artifacts.keep_only(&candidate.loaded.used)?;
        let workers = Workers::start(threads, config.queue.max(1))
            .map_err(|error| LoadError::Thread { purpose: "evaluates policies", error })?;
        let current = candidate.take(&artifacts, history.as_ref(), &config.clock)?;
        announce(&current.summary, "policies are in force");
        Ok(Self(Arc::new(Inner {
            directory: config.directory,
            trusted,
            workers,
            current: ArcSwap::from_pointee(current),
            artifacts,
            history,
            clock: config.clock,
            lookups: config.lookups,
            sandbox,
            reuse: Reuse::new(),
            operations: config.known.operations,
            terms: Mutex::new((config.signers, config.known)),
        })))
    }

    /// The sets that were in force, the newest first; none without a history.
    ///
    /// # Errors
    /// If the history cannot be read.
    pub fn history(&self) -> Result<Vec<TakenSet>, LoadError> {
        self.0.history.as_ref().map_or_else(|| Ok(Vec::new()), History::sets)
    }

    /// Does what blocks, such as a reload, in a thread of its own and of the lowest priority: compilers
    /// would else take processors from the decisions that are being made meanwhile.
    ///
    /// # Errors
    /// Those of `work`; [`LoadError::Panicked`] if it panics, and [`LoadError::Thread`] if there is no thread.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let host = self.clone();
        let (done, result) = oneshot::channel();
        background::run("policy-load", move || drop(done.send(work(&host))))
            .map_err(|error| LoadError::Thread { purpose: "loads policies", error })?;
        result.await.unwrap_or(Err(LoadError::Panicked("loading")))
    }

    /// Does what waits for the disk and computes little, such as reading the history, at the usual priority.
    ///
    /// # Errors
    /// Those of `work`; [`LoadError::Panicked`] if it panics.
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let host = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&host)).await;
        done.unwrap_or(Err(LoadError::Panicked("reading")))
    }

    /// What is in force now.
    pub fn summary(&self) -> Summary {
        self.0.current.load().summary.clone()
    }

    /// The bindings that are in force, by name.
    pub fn in_force(&self) -> Vec<InForce> {
        self.0.current.load().set.in_force()
    }

    fn set(&self) -> Arc<PolicySet> {
        self.0.current.load().set.clone()
    }
}

fn announce(summary: &Summary, what: &str) {
    let Summary { bindings, plugins, digest, number, unasked } = summary;
    tracing::info!(bindings = bindings.len(), plugins, %digest, number, "{what}");
    for one in unasked {
        tracing::warn!("{one}");
    }
}
