//! What a host is for: it asks the policies.

use std::sync::Arc;

use super::each::EachVerdict;
use super::{PolicyHost, each};
use crate::decide::{
    Question, Verdict, conclude, no_policy, no_such_operation, not_run, shaped, without_obligations,
};
use crate::question::{AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial};
use crate::set::{Matching, PolicySet};

impl PolicyHost {
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

fn count<T>(decision: &'static str, verdict: &Verdict<T>) {
    let outcome = if verdict.decision.is_ok() { "allow" } else { "deny" };
    metrics::counter!(
        "chancery_policy_decisions_total",
        "decision" => decision,
        "outcome" => outcome,
    )
    .increment(1);
}
