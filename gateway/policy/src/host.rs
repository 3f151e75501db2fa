use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chancery_files::Trusted;
use chancery_identity::Clock;
use tokio::sync::oneshot;

use crate::artifact::Artifacts;
use crate::candidate::{Candidate, Current, Summary};
use crate::decision::{
    conclude, no_policy, no_such_operation, not_run, shaped, without_obligations,
};
use crate::each::{self, EachVerdict};
use crate::engine::Sandbox;
use crate::evaluation::Question;
use crate::history::{self, History};
use crate::reuse::Reuse;
use crate::set::{Matching, PolicySet};
use crate::sources::Sources;
use crate::workers::Workers;
use crate::{
    AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Compiler, Denial, InForce,
    Known, LoadError, Lookups, Operations, Restored, Signers, TakenSet, Verdict, background,
};

/// Where the policies are and how much they may occupy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// Directory of the binding documents (`*.toml`); their plugin files are relative to it.
    pub directory: PathBuf,
    /// Directory for compiled components. Created with mode 0700; nobody else may write there.
    pub cache: PathBuf,
    /// Who may change the files of the policies.
    pub trusted: Trusted,
    /// Threads that evaluate, and so the number of policies that run at once. At least 1; fewer are
    /// started if the process's address space is limited.
    pub workers: usize,
    /// Decisions that may wait for a thread before further ones are denied. At least 1.
    pub queue: usize,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// What policies may look up.
    pub lookups: Lookups,
    /// Whose signatures tenants require.
    pub signers: Signers,
    /// What their documents may refer to.
    pub known: Known,
    /// Directory for the sets that were in force, to go back to; none keeps none.
    pub history: Option<PathBuf>,
    /// By which the history tells when, and permissions that may be reused end.
    pub clock: Clock,
}

impl PolicyConfig {
    /// Files that root and the user of this process may change, one evaluating thread per processor, at
    /// least two, a queue of 1,024 decisions, components that are compiled in this process, nothing to look up, no signatures required, and no history.
    pub fn new(directory: PathBuf, cache: PathBuf) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory,
            cache,
            trusted: Trusted::process(),
            workers: processors.max(2),
            queue: 1024,
            compiler: Compiler::Here,
            lookups: Lookups::unavailable(),
            signers: Signers::new(),
            known: Known::OPERATIONS,
            history: None,
            clock: Clock::system(),
        }
    }
}

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
        let workers = Workers::start(threads, config.queue.max(1)).map_err(|error| {
            LoadError::Engine(format!("cannot start the threads that evaluate: {error}"))
        })?;
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

    /// Loads the directory again and takes the new set into use in one step. Decisions that have begun
    /// end by the old set, which stays if no file of it has changed. Blocks while components are
    /// compiled: call it off the request path.
    ///
    /// # Errors
    /// As [`open`](Self::open); the old set then stays in force, whole.
    pub fn reload(&self) -> Result<Summary, LoadError> {
        self.exchange(None)
    }

    /// The same with other keys whose signatures count, and other names that documents may refer to, from now on,
    /// if the set is taken.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_with(&self, signers: Signers, known: Known) -> Result<Summary, LoadError> {
        self.exchange(Some((signers, known)))
    }

    fn exchange(&self, terms: Option<(Signers, Known)>) -> Result<Summary, LoadError> {
        let mut in_force = self.0.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let (signers, known) = terms.unwrap_or_else(|| in_force.clone());
        let taken = self.take(&signers, &known);
        let outcome = if taken.is_ok() { "taken" } else { "refused" };
        metrics::counter!("chancery_policy_reloads_total", "outcome" => outcome).increment(1);
        if taken.is_ok() {
            *in_force = (signers, known);
        }
        taken
    }

    fn take(&self, signers: &Signers, known: &Known) -> Result<Summary, LoadError> {
        let Inner { sandbox, artifacts, lookups, directory, trusted, history, clock, .. } =
            &*self.0;
        let in_force = self.set();
        let candidate = Candidate::load(
            sandbox,
            artifacts,
            lookups,
            Sources::new(directory, trusted),
            (signers, known),
            Some(&in_force),
        )?;
        if history::digest(&candidate.files) == self.summary().digest {
            // The files are as they were; who has to sign may be another.
            let unasked = candidate.loaded.unasked;
            if unasked != self.summary().unasked {
                for one in &unasked {
                    tracing::warn!("{one}");
                }
                let mut summary = self.summary();
                summary.unasked = unasked;
                self.0.current.store(Arc::new(Current { set: in_force, summary }));
            }
            return Ok(self.summary());
        }
        let current = candidate.take(artifacts, history.as_ref(), clock)?;
        announce(&current.summary, "new policies are in force");
        let summary = current.summary.clone();
        self.0.current.store(Arc::new(current));
        // To unmap a set's code takes longer than to decide by it.
        background::retire("policy-retire", in_force);
        Ok(summary)
    }

    /// Puts an earlier set back (see [`EarlierSet::put_back`](crate::EarlierSet::put_back)) and takes it into use.
    ///
    /// # Errors
    /// As [`EarlierSet::put_back`](crate::EarlierSet::put_back) and [`reload`](Self::reload).
    pub fn roll_back(&self, number: Option<u64>) -> Result<(Restored, Summary), LoadError> {
        let Inner { artifacts, directory, trusted, history, .. } = &*self.0;
        let history = history
            .as_ref()
            .ok_or_else(|| LoadError::NoSuchSet { asked: number, kept: Vec::new() })?;
        let earlier = history.earlier(number)?;
        let restored = earlier.put_back(directory, trusted)?;
        artifacts.remember(&earlier.set.bindings)?;
        history.mark_put_back(&earlier.set)?;
        let taken = self.reload();
        if let (Err(_), Some(in_force)) = (&taken, self.summary().number) {
            // What is in force stays in the directory as well, or the next start would find what is refused.
            let in_force = history.earlier(Some(in_force))?;
            drop(in_force.put_back(directory, trusted)?);
            artifacts.remember(&in_force.set.bindings)?;
        }
        Ok((restored, taken?))
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
    /// Those of `work`; [`LoadError::Engine`] if it panics, or there is no thread to be had.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let host = self.clone();
        let (done, result) = oneshot::channel();
        background::run("policy-load", move || drop(done.send(work(&host)))).map_err(|error| {
            LoadError::Engine(format!("cannot start a thread to load in: {error}"))
        })?;
        result.await.unwrap_or_else(|_| Err(LoadError::Engine("loading panicked".to_owned())))
    }

    /// Does what waits for the disk and computes little, such as reading the history, at the usual priority.
    ///
    /// # Errors
    /// Those of `work`; [`LoadError::Engine`] if it panics.
    pub async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let host = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&host)).await;
        done.unwrap_or_else(|_| Err(LoadError::Engine("reading panicked".to_owned())))
    }

    /// What is in force now.
    pub fn summary(&self) -> Summary {
        self.0.current.load().summary.clone()
    }

    /// The bindings that are in force, by name.
    pub fn in_force(&self) -> Vec<InForce> {
        self.0.current.load().set.in_force()
    }

    /// Asks the access policies. Every failure is a denial, and so is a permission under an obligation:
    /// nothing that the gateway does fulfils one yet, and to ignore it would be more than was allowed. A
    /// permission whose policies let it be reused is not asked for again in that time.
    #[tracing::instrument(name = "policy.access", skip_all, fields(operation = request.operation))]
    pub async fn decide_access(&self, request: &AccessRequest) -> Verdict<AccessGrant> {
        if let Err(verdict) = self.is_operation(&request.operation) {
            return verdict;
        }
        let (set, now) = (self.set(), self.0.clock.now());
        if let Some(verdict) = self.0.reuse.find(&set, request, now) {
            metrics::counter!("chancery_policy_decisions_reused_total").increment(1);
            count("access", &verdict);
            return verdict;
        }
        let matching = set.for_access(request, &request.resource);
        let asked = self.ask(set.clone(), matching, request.clone(), without_obligations);
        let verdict = asked.await;
        self.0.reuse.keep(&set, request, now, &verdict);
        count("access", &verdict);
        verdict
    }

    /// Asks the access policies about each of several resources, one question for each, with the rest of
    /// the request the same: rules are about one resource, and a list of them would slip through. What all
    /// of them are allowed is merged to the strictest, and one denial denies the whole. Of the request's
    /// own resource nobody is asked.
    ///
    /// The questions are put in a few batches, one after the other, so that a long list costs few changes
    /// of threads and others have their turn in between.
    #[tracing::instrument(
        name = "policy.access-to-each",
        skip_all,
        fields(operation = request.operation, resources = resources.len())
    )]
    pub async fn decide_access_to_each(
        &self,
        request: AccessRequest,
        resources: &[String],
    ) -> EachVerdict {
        if let Err(verdict) = self.is_operation(&request.operation) {
            return each::conclude(vec![verdict]);
        }
        let (set, now) = (self.set(), self.0.clock.now());
        let mut verdicts = Vec::with_capacity(resources.len());
        let request = Arc::new(request);
        for batch in resources.chunks(each::BATCH) {
            let mut asked = each::Batch::new(&set, &request);
            for resource in batch {
                asked.add(resource, self.0.reuse.find_for(&set, &request, resource, now));
            }
            let answers = asked.run(&self.0.workers).await;
            for (resource, (verdict, is_new)) in batch.iter().zip(answers) {
                if is_new {
                    self.0.reuse.keep_for(&set, &request, resource, now, &verdict);
                }
                count("access", &verdict);
                verdicts.push(verdict);
            }
            if verdicts.last().is_some_and(each::is_failure) {
                break;
            }
        }
        each::conclude(verdicts)
    }

    /// Asks the certificate policies. Every failure is a denial.
    #[tracing::instrument(name = "policy.certificate", skip_all, fields(profile = facts.profile))]
    pub async fn decide_certificate(
        &self,
        facts: &CertificateFacts,
    ) -> Verdict<CertificateTemplate> {
        let set = self.set();
        let matching = set.for_certificate(facts);
        let Verdict { decision, evaluations } = self.ask(set, matching, facts.clone(), Ok).await;
        let verdict = Verdict { decision: decision.and_then(shaped), evaluations };
        count("certificate", &verdict);
        verdict
    }

    /// Asks the access policies on the calling thread, without waiting for a turn: for tools and
    /// measurements. A gateway must not, since a policy may take its whole deadline.
    pub fn decide_access_here(&self, request: &AccessRequest) -> Verdict<AccessGrant> {
        if let Err(verdict) = self.is_operation(&request.operation) {
            return verdict;
        }
        let set = self.set();
        let matching = set.for_access(request, &request.resource);
        here(&set, &matching, request, without_obligations)
    }

    /// The same for the certificate policies.
    pub fn decide_certificate_here(
        &self,
        facts: &CertificateFacts,
    ) -> Verdict<CertificateTemplate> {
        let set = self.set();
        let matching = set.for_certificate(facts);
        let Verdict { decision, evaluations } = here(&set, &matching, facts, Ok);
        Verdict { decision: decision.and_then(shaped), evaluations }
    }

    /// Rules are compared with the operations that there are, so none can be about another one: to ask about
    /// it would be to ask nobody who denies.
    fn is_operation(&self, operation: &str) -> Result<(), Verdict<AccessGrant>> {
        if self.0.operations.has(operation) {
            return Ok(());
        }
        let verdict = Verdict { decision: Err(no_such_operation(operation)), evaluations: vec![] };
        count("access", &verdict);
        Err(verdict)
    }

    fn set(&self) -> Arc<PolicySet> {
        self.0.current.load().set.clone()
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
        let shares = set.shares([&matching]);
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

fn announce(summary: &Summary, what: &str) {
    let Summary { bindings, plugins, digest, number, unasked } = summary;
    tracing::info!(bindings = bindings.len(), plugins, %digest, number, "{what}");
    for one in unasked {
        tracing::warn!("{one}");
    }
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
