//! What is counted of each binding and group.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use crate::binding::Mode;
use crate::component::Failure;

/// What is counted of one binding or group. Looked up once: to name a metric costs more than to count.
pub(crate) struct Meters {
    binding: String,
    allow: Counter,
    no_objection: Counter,
    deny: Counter,
    needs_approval: Counter,
    error: Counter,
    microseconds: Histogram,
}

/// How an evaluation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'a> {
    Allow,
    NoObjection,
    Deny,
    NeedsApproval,
    Error(&'a Failure),
}

impl Meters {
    pub(crate) fn new(binding: &str, mode: Mode) -> Self {
        let evaluations = |outcome: &'static str| {
            counter!(
                "chancery_policy_evaluations_total",
                "binding" => binding.to_owned(),
                "mode" => mode.word(),
                "outcome" => outcome,
            )
        };
        dropped(binding).increment(0);
        for cause in Failure::CAUSES {
            failures(binding, cause).increment(0);
        }
        Self {
            binding: binding.to_owned(),
            allow: evaluations("allow"),
            no_objection: evaluations("no-objection"),
            deny: evaluations("deny"),
            needs_approval: evaluations("needs-approval"),
            error: evaluations("error"),
            microseconds: histogram!(
                "chancery_policy_evaluation_microseconds",
                "binding" => binding.to_owned(),
            ),
        }
    }

    pub(crate) fn count(&self, outcome: Outcome<'_>, taken: Duration) {
        self.microseconds.record(taken.as_secs_f64() * 1e6);
        match outcome {
            Outcome::Allow => self.allow.increment(1),
            Outcome::NoObjection => self.no_objection.increment(1),
            Outcome::Deny => self.deny.increment(1),
            Outcome::NeedsApproval => self.needs_approval.increment(1),
            Outcome::Error(failure) => {
                self.error.increment(1);
                failures(&self.binding, failure.cause()).increment(1);
            }
        }
    }

    /// Lines that a policy wrote beyond its budget.
    pub(crate) fn lines_dropped(&self, lines: u32) {
        if lines > 0 {
            dropped(&self.binding).increment(u64::from(lines));
        }
    }
}

fn failures(binding: &str, cause: &'static str) -> Counter {
    counter!(
        "chancery_policy_failures_total", "binding" => binding.to_owned(), "cause" => cause
    )
}

fn dropped(binding: &str) -> Counter {
    counter!("chancery_policy_log_lines_dropped_total", "binding" => binding.to_owned())
}

impl std::fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::NoObjection => f.write_str("no-objection"),
            Self::Deny => f.write_str("deny"),
            Self::NeedsApproval => f.write_str("needs-approval"),
            Self::Error(failure) => write!(f, "error:{}", failure.cause()),
        }
    }
}
