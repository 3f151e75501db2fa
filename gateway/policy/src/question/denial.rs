//! A refusal, and what would change it.

use std::cmp::Ordering;
use std::time::Duration;

/// Why the policies refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("denied by policy ({code}): {message}")]
pub struct Denial {
    /// Stable reason code: a policy's own, or one of this crate's (see [`Denial`]'s constants).
    pub code: String,
    /// For the caller. Says nothing about how policies are set up.
    pub message: String,
    /// For the audit log only.
    pub audit: String,
    /// Whose approval would change the answer, if the code is [`NEEDS_APPROVAL`](Self::NEEDS_APPROVAL).
    pub approvals: Vec<Approval>,
}

/// What others have to say before it may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The group whose members may approve.
    pub group: String,
    /// How many of them have to.
    pub count: u32,
    /// For how long their approvals are good.
    pub valid_for: Duration,
}

impl Denial {
    /// No enforcing binding matched the request.
    pub const NO_POLICY: &'static str = "no-policy";
    /// There is no such operation, so no policy can be about it.
    pub const UNKNOWN_OPERATION: &'static str = "unknown-operation";
    /// A policy trapped, ran out of time or memory, or gave an answer that is not acceptable.
    pub const POLICY_FAILED: &'static str = "policy-failed";
    /// Too many decisions are waiting.
    pub const OVERLOADED: &'static str = "policy-overloaded";
    /// It is allowed under an obligation that the operation cannot fulfil.
    pub const OBLIGATION: &'static str = "obligation-not-supported";
    /// No member of a group of policies allows it, or one that the group negates does.
    pub const GROUP: &'static str = "group-denied";
    /// A policy allows it once others have approved.
    pub const NEEDS_APPROVAL: &'static str = "needs-approval";
    /// Several certificate policies answered with templates that cannot be merged.
    pub const AMBIGUOUS: &'static str = "ambiguous-template";
    /// Several certificate policies allow a certificate, and nothing of it that all of them allow is left.
    pub const NOTHING_IN_COMMON: &'static str = "nothing-in-common";

    pub(crate) fn new(code: &str, message: &str, audit: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            audit: audit.into(),
            approvals: Vec::new(),
        }
    }

    /// The denial that counts. A policy's reason helps the caller more than the failure of another; who
    /// is denied need not ask for approvals; and of two approvals both are needed.
    pub(crate) fn worse(mut self, second: Self) -> Self {
        let rank = |denial: &Self| match denial.code.as_str() {
            Self::NEEDS_APPROVAL => 0,
            Self::POLICY_FAILED => 1,
            _ => 2,
        };
        match rank(&self).cmp(&rank(&second)) {
            Ordering::Less => second,
            Ordering::Equal => {
                self.approvals.extend(second.approvals);
                self
            }
            Ordering::Greater => self,
        }
    }
}
