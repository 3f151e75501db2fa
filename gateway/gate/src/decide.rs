//! Asking the policies.

use chancery_audit::{Decision, Event};
use chancery_policy::{
    AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial, Evaluation, Verdict,
    context_attributes,
};

use crate::refused::asked;
use crate::{Gate, Refused, Session};

/// What the policies said.
#[derive(Debug)]
#[must_use = "the operation's audit line says what each policy said"]
pub struct Answer<T> {
    /// What is allowed, or why nothing is.
    pub result: Result<T, Refused>,
    /// What each policy said, for the audit line of the operation.
    pub decisions: Vec<Decision>,
}

/// What the policies said about several resources that belong together.
#[derive(Debug)]
#[must_use = "the operation's audit line says what each policy said"]
pub struct EachAnswer {
    /// What all of the answers allow together, or the first refusal: one denial denies.
    pub answer: Answer<AccessGrant>,
    /// Which resources were denied, by their places, and why.
    pub denied: Vec<(usize, Refused)>,
}

impl<T> Answer<T> {
    fn refused(why: Refused) -> Self {
        Self { result: Err(why), decisions: Vec::new() }
    }

    fn of(verdict: Verdict<T>, asked: Option<String>) -> Self {
        let Verdict { decision, evaluations } = verdict;
        let result = decision.map_err(|denial| Refused::by_policy(denial, asked));
        Self { result, decisions: decisions(evaluations) }
    }

    /// Puts what the policies said into the operation's event, and gives what is allowed.
    ///
    /// # Errors
    /// Why nothing is. The reason is in the event.
    pub fn noted_in(self, event: &mut Event) -> Result<T, Refused> {
        event.add_decisions(self.decisions);
        self.result.inspect_err(|refused| {
            if let Some(reason) = refused.reason() {
                event.add_detail("reason", reason);
            }
        })
    }
}

impl Gate {
    /// Asks whether the session may do `operation` to `resource`, with these facts besides the session's own.
    /// Nothing is recorded: the operation puts the [`Answer`] into its event.
    #[tracing::instrument(name = "gate.decide", skip_all, fields(operation))]
    pub async fn decide(
        &self,
        session: &Session<'_>,
        operation: &str,
        resource: &str,
        facts: Vec<(String, String)>,
    ) -> Answer<AccessGrant> {
        if let Err(refused) = session.still_holds(operation, resource) {
            return Answer::refused(refused);
        }
        let request = request(session, operation, resource, facts);
        let verdict = self.policy.decide_access(&request).await;
        Answer::of(verdict, Some(asked(operation, resource)))
    }

    /// Asks the same about each of several resources that belong together, such as the names of one certificate.
    #[tracing::instrument(name = "gate.decide_each", skip_all, fields(operation))]
    pub async fn decide_each(
        &self,
        session: &Session<'_>,
        operation: &str,
        resources: &[String],
        facts: Vec<(String, String)>,
    ) -> EachAnswer {
        let first = resources.first().map(String::as_str).unwrap_or_default();
        if let Err(refused) = session.still_holds(operation, first) {
            return EachAnswer { answer: Answer::refused(refused), denied: Vec::new() };
        }
        let request = request(session, operation, "", facts);
        let verdict = self.policy.decide_access_to_each(request, resources).await;
        let about = |at: usize| resources.get(at).map(|resource| asked(operation, resource));
        let refused = |(at, denial): (usize, Denial)| (at, Refused::by_policy(denial, about(at)));
        let denied = verdict.denied.into_iter().map(refused).collect();
        let answer = Verdict { decision: verdict.decision, evaluations: verdict.evaluations };
        EachAnswer { answer: Answer::of(answer, None), denied }
    }

    /// Asks what a certificate may say. The facts name who asks and for what; `operation` is what the evidence has
    /// to hold for.
    #[tracing::instrument(name = "gate.decide_certificate", skip_all)]
    pub async fn decide_certificate(
        &self,
        session: &Session<'_>,
        operation: &str,
        facts: &CertificateFacts,
    ) -> Answer<CertificateTemplate> {
        if let Err(refused) = session.still_holds(operation, "") {
            return Answer::refused(refused);
        }
        Answer::of(self.policy.decide_certificate(facts).await, None)
    }
}

fn request(
    session: &Session<'_>,
    operation: &str,
    resource: &str,
    mut attributes: Vec<(String, String)>,
) -> AccessRequest {
    attributes.extend(context_attributes(session.context()));
    attributes.extend_from_slice(session.facts());
    AccessRequest {
        tenant: session.tenant().clone(),
        identity: session.identity().to_owned(),
        operation: operation.to_owned(),
        resource: resource.to_owned(),
        attributes,
    }
}

/// The policies' evaluations as the audit log keeps them.
fn decisions(evaluations: Vec<Evaluation>) -> Vec<Decision> {
    evaluations
        .into_iter()
        .map(|evaluation| Decision {
            binding: evaluation.binding,
            plugin: evaluation.plugin,
            digest: evaluation.digest,
            version: evaluation.version,
            micros: evaluation.micros,
            outcome: evaluation.outcome,
            detail: evaluation.detail,
        })
        .collect()
}
