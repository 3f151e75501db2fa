use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::admission::{Admission, Versions};
use crate::artifact::Artifacts;
use crate::decision::{conclude, no_policy, not_run, shaped, without_obligations};
use crate::engine::Sandbox;
use crate::evaluation::Question;
use crate::set::{Loaded, Matching, PolicySet};
use crate::workers::Workers;
use crate::world::{access, certificate};
use crate::{
    AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial, InForce, LoadError,
    Lookups, Signers, Verdict,
};

/// Where the policies are and how much they may occupy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// Directory of the binding documents (`*.toml`); their plugin files are relative to it.
    pub directory: PathBuf,
    /// Directory for compiled components. Created with mode 0700; must not be anybody else's.
    pub cache: PathBuf,
    /// Threads that evaluate, and so the number of policies that run at once. At least 1; fewer are
    /// started if the process's address space is limited.
    pub workers: usize,
    /// Decisions that may wait for a thread before further ones are denied. At least 1.
    pub queue: usize,
    /// What policies may look up.
    pub lookups: Lookups,
    /// Whose signatures tenants require.
    pub signers: Signers,
}

impl PolicyConfig {
    /// One evaluating thread per processor, at least two, a queue of 1,024 decisions, nothing to look
    /// up, and no signatures required.
    pub fn new(directory: PathBuf, cache: PathBuf) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory,
            cache,
            workers: processors.max(2),
            queue: 1024,
            lookups: Lookups::unavailable(),
            signers: Signers::new(),
        }
    }
}

/// What a load brought into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Names of the bindings, sorted.
    pub bindings: Vec<String>,
    /// How many different components they use.
    pub plugins: usize,
}

/// Asks the policies. Cheap to clone; clones share everything, and the threads end with the last one.
#[derive(Clone)]
pub struct PolicyHost(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    // Before the sandbox, so that nothing is evaluated any more when that goes.
    workers: Workers,
    set: ArcSwap<PolicySet>,
    artifacts: Artifacts,
    lookups: Lookups,
    sandbox: Sandbox,
    /// One reload at a time.
    reloading: Mutex<Reloading>,
}

/// What the next set is measured by.
struct Reloading {
    signers: Signers,
    versions: Versions,
}

impl Inner {
    fn load(&self, signers: &Signers, before: &Versions) -> Result<Loaded, LoadError> {
        let admission = Admission { directory: &self.directory, signers, before };
        let loaded =
            PolicySet::load(&self.sandbox.engine, &self.artifacts, &self.lookups, &admission)?;
        self.artifacts.remember(&loaded.versions)?;
        Ok(loaded)
    }
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
        let artifacts = Artifacts::open(&config.cache)?;
        let versions = artifacts.versions()?;
        let admission =
            Admission { directory: &config.directory, signers: &config.signers, before: &versions };
        let loaded = PolicySet::load(&sandbox.engine, &artifacts, &config.lookups, &admission)?;
        artifacts.keep_only(&loaded.used)?;
        artifacts.remember(&loaded.versions)?;
        let workers = Workers::start(threads, config.queue.max(1)).map_err(|error| {
            LoadError::Engine(format!("cannot start the threads that evaluate: {error}"))
        })?;
        announce(&loaded.set, "policies are in force");
        Ok(Self(Arc::new(Inner {
            directory: config.directory,
            workers,
            set: ArcSwap::from_pointee(loaded.set),
            artifacts,
            lookups: config.lookups,
            sandbox,
            reloading: Mutex::new(Reloading { signers: config.signers, versions: loaded.versions }),
        })))
    }

    /// Loads the directory again and takes the new set into use in one step. Decisions that have begun
    /// end by the old set. Blocks while components are compiled: call it off the request path.
    ///
    /// # Errors
    /// As [`open`](Self::open); the old set then stays in force, whole.
    pub fn reload(&self) -> Result<Summary, LoadError> {
        self.exchange(None)
    }

    /// The same with other keys whose signatures count from now on, if the set is taken.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_with_signers(&self, signers: Signers) -> Result<Summary, LoadError> {
        self.exchange(Some(signers))
    }

    fn exchange(&self, signers: Option<Signers>) -> Result<Summary, LoadError> {
        let inner = &*self.0;
        let mut reloading = inner.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let signers = signers.unwrap_or_else(|| reloading.signers.clone());
        let loaded = inner.load(&signers, &reloading.versions);
        let outcome = if loaded.is_ok() { "taken" } else { "refused" };
        metrics::counter!("chancery_policy_reloads_total", "outcome" => outcome).increment(1);
        let loaded = loaded?;
        let summary = announce(&loaded.set, "new policies are in force");
        inner.set.store(Arc::new(loaded.set));
        *reloading = Reloading { signers, versions: loaded.versions };
        Ok(summary)
    }

    /// What is in force now.
    pub fn summary(&self) -> Summary {
        self.0.set.load().summary()
    }

    /// The bindings that are in force, by name.
    pub fn in_force(&self) -> Vec<InForce> {
        self.0.set.load().in_force()
    }

    /// Asks the access policies. Every failure is a denial, and so is a permission under an obligation:
    /// nothing that the gateway does fulfils one yet, and to ignore it would be more than was allowed.
    #[tracing::instrument(name = "policy.access", skip_all, fields(operation = request.operation))]
    pub async fn decide_access(&self, request: &AccessRequest) -> Verdict<AccessGrant> {
        let set = self.0.set.load_full();
        let matching = set.for_access(request);
        let verdict =
            self.ask(set, matching, access::Request::from(request), without_obligations).await;
        count("access", &verdict);
        verdict
    }

    /// Asks the certificate policies. Every failure is a denial.
    #[tracing::instrument(name = "policy.certificate", skip_all, fields(profile = facts.profile))]
    pub async fn decide_certificate(
        &self,
        facts: &CertificateFacts,
    ) -> Verdict<CertificateTemplate> {
        let set = self.0.set.load_full();
        let matching = set.for_certificate(facts);
        let Verdict { decision, evaluations } =
            self.ask(set, matching, certificate::Request::from(facts), Ok).await;
        let verdict = Verdict { decision: decision.and_then(shaped), evaluations };
        count("certificate", &verdict);
        verdict
    }

    /// Asks the access policies on the calling thread, without waiting for a turn: for tools and
    /// measurements. A gateway must not, since a policy may take its whole deadline.
    pub fn decide_access_here(&self, request: &AccessRequest) -> Verdict<AccessGrant> {
        let set = self.0.set.load_full();
        let matching = set.for_access(request);
        here(&set, &matching, &access::Request::from(request), without_obligations)
    }

    /// The same for the certificate policies.
    pub fn decide_certificate_here(
        &self,
        facts: &CertificateFacts,
    ) -> Verdict<CertificateTemplate> {
        let set = self.0.set.load_full();
        let matching = set.for_certificate(facts);
        let Verdict { decision, evaluations } =
            here(&set, &matching, &certificate::Request::from(facts), Ok);
        Verdict { decision: decision.and_then(shaped), evaluations }
    }

    async fn ask<Q>(
        &self,
        set: Arc<PolicySet>,
        matching: Matching,
        question: Q,
        accept: impl FnOnce(Q::Allowed) -> Result<Q::Allowed, Denial>,
    ) -> Verdict<Q::Allowed>
    where
        Q: Question + Send + 'static,
        Q::Allowed: Send + 'static,
    {
        if matching.is_empty() {
            return Verdict { decision: Err(no_policy()), evaluations: Vec::new() };
        }
        let shares = set.shares(&matching);
        match self.0.workers.run(shares, move || set.ask(&matching, &question)).await {
            Ok(asked) => conclude(asked, |allowed| Q::merge(allowed).and_then(accept)),
            Err(why) => not_run(why),
        }
    }
}

fn here<Q: Question>(
    set: &PolicySet,
    matching: &Matching,
    question: &Q,
    accept: impl FnOnce(Q::Allowed) -> Result<Q::Allowed, Denial>,
) -> Verdict<Q::Allowed> {
    if matching.is_empty() {
        return Verdict { decision: Err(no_policy()), evaluations: Vec::new() };
    }
    conclude(set.ask(matching, question), |allowed| Q::merge(allowed).and_then(accept))
}

fn announce(set: &PolicySet, what: &str) -> Summary {
    let summary = set.summary();
    tracing::info!(bindings = summary.bindings.len(), plugins = summary.plugins, "{what}");
    summary
}

fn count<T>(decision: &'static str, verdict: &Verdict<T>) {
    let outcome = if verdict.decision.is_ok() { "allow" } else { "deny" };
    metrics::counter!(
        "chancery_policy_decisions_total",
        "decision" => decision,
        "outcome" => outcome,
    )
    .increment(1);
}
