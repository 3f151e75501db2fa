//! A binding with its program, and a group with its members.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::binding::{Binding, Group, Mode, Node};
use crate::component::Program;
use crate::decide::{Answer, Asked, Evaluation, Meters, Outcome, Question, Share};
use crate::question::{Approval, Denial};

pub(super) struct Bound {
    pub(super) binding: Binding,
    pub(super) program: Arc<Program>,
    /// As evaluations name them.
    pub(super) plugin: String,
    pub(super) digest: String,
    pub(super) share: Arc<Share>,
    /// How its answers count: members of groups count in their group only.
    pub(super) mode: Mode,
    pub(super) meters: Meters,
}

/// A group with its members.
pub(super) struct Grouped {
    pub(super) group: Group,
    pub(super) node: Node,
    pub(super) meters: Meters,
}

/// A binding that is in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InForce {
    /// Its name.
    pub binding: String,
    /// `access` or `certificate`.
    pub decision: &'static str,
    /// `enforce` or `monitor`.
    pub mode: &'static str,
    /// File of the plugin, as the binding names it.
    pub plugin: String,
    /// Digest of the plugin.
    pub digest: String,
    /// Name of the plugin, as it says itself.
    pub name: String,
    /// Version of the plugin, as it says itself.
    pub version: String,
    /// The document and line where the binding stands.
    pub place: String,
    /// Whether it failed the last times that it was asked.
    pub failing: bool,
}

impl Bound {
    pub(super) fn in_force(&self) -> InForce {
        InForce {
            binding: self.binding.name.clone(),
            decision: self.binding.scope.decision().word(),
            mode: self.mode.word(),
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            name: self.program.description.name.clone(),
            version: self.program.description.version.clone(),
            place: self.binding.place.to_string(),
            failing: self.share.is_failing(),
        }
    }

    pub(super) fn ask<Q: Question>(&self, question: &Q) -> Asked<Q::Allowed> {
        let Self { binding, mode, meters, .. } = self;
        let span = tracing::debug_span!("policy.evaluate", binding = binding.name);
        let _entered = span.enter();
        let begun = Instant::now();
        let mut store = self.program.store(&binding.limits, question.tenant());
        let answer = question.ask(&self.program, &mut store);
        let taken = begun.elapsed();
        self.share.ended(answer.as_ref().err());
        meters.lines_dropped(store.data().host.calls.dropped);
        let trail = Trail { binding: &binding.name, mode: *mode, meters, taken };
        let evaluation = Evaluation {
            plugin: self.plugin.clone(),
            digest: self.digest.clone(),
            version: self.program.description.version.clone(),
            ..trail.evaluation::<Q>(&answer)
        };
        Asked { mode: *mode, answer, evaluation }
    }
}

/// What is remembered of one answer.
pub(super) struct Trail<'a> {
    pub(super) binding: &'a str,
    pub(super) mode: Mode,
    pub(super) meters: &'a Meters,
    pub(super) taken: Duration,
}

impl Trail<'_> {
    pub(super) fn evaluation<Q: Question>(&self, answer: &Answer<Q::Allowed>) -> Evaluation {
        let (outcome, detail) = match answer {
            Ok(Ok(allowed)) => (Q::outcome(allowed), String::new()),
            Ok(Err(denial)) if !denial.approvals.is_empty() => {
                (Outcome::NeedsApproval, approvals_in_words(denial))
            }
            Ok(Err(denial)) if denial.audit.is_empty() => (Outcome::Deny, denial.code.clone()),
            Ok(Err(denial)) => (Outcome::Deny, format!("{}: {}", denial.code, denial.audit)),
            Err(failure) => (Outcome::Error(failure), failure.to_string()),
        };
        self.meters.count(outcome, self.taken);
        let outcome = match self.mode {
            Mode::Enforce => outcome.to_string(),
            Mode::Monitor | Mode::Member => format!("{}:{outcome}", self.mode.word()),
        };
        Evaluation {
            binding: self.binding.to_owned(),
            plugin: String::new(),
            digest: String::new(),
            version: String::new(),
            micros: u64::try_from(self.taken.as_micros()).unwrap_or(u64::MAX),
            outcome,
            detail,
        }
    }
}

/// Whose approvals are missing, for the audit log.
fn approvals_in_words(denial: &Denial) -> String {
    let words = denial.approvals.iter().map(|one| {
        let Approval { group, count, valid_for } = one;
        format!("{count} of the group `{group}`, good for {} seconds", valid_for.as_secs())
    });
    format!("{}: {}", words.collect::<Vec<_>>().join("; "), denial.audit)
}
