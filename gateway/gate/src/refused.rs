//! Why the gate refuses an operation.

use chancery_audit::{AuditError, Event};
use chancery_identity::EvidenceError;
use chancery_policy::{Approval, Denial};

/// Why the gate refuses an operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// A policy, or a rule of the gateway, denied it.
    #[error(transparent)]
    Denied(Box<Denied>),
    /// The policies would allow it if others approved it.
    #[error("{denied}")]
    NeedsApproval {
        /// What the caller is told.
        denied: Box<Denied>,
        /// Whose approval would change the answer.
        approvals: Vec<Approval>,
    },
    /// Too many decisions are waiting, so the policies were not asked. The same request may succeed later.
    #[error("too many requests are waiting for a decision: try again")]
    Overloaded,
    /// The audit log did not take the event, so nothing is answered.
    #[error("the audit log refuses events, so nothing is answered: {0}")]
    Unrecorded(#[from] AuditError),
}

/// What was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("denied{} ({code}): {}", if self.by_policy { " by policy" } else { "" }, self.told())]
pub struct Denied {
    /// Stable code of the reason.
    pub code: String,
    /// The reason, for the caller.
    pub message: String,
    /// What the policies were asked, as `OPERATION on RESOURCE`; none if they were not. The caller sent it.
    pub asked: Option<String>,
    /// The reason, for the audit log only.
    pub reason: String,
    /// Whether a policy denied it, and not a rule of the gateway.
    pub by_policy: bool,
}

impl Denied {
    /// A denial by a rule of the gateway.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            asked: None,
            reason: String::new(),
            by_policy: false,
        }
    }

    /// The same, with what was asked.
    #[must_use]
    pub fn about(self, operation: &str, resource: &str) -> Self {
        Self { asked: Some(asked(operation, resource)), ..self }
    }

    /// The same, with a reason for the audit log.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// Why it was refused, for the caller: the reason, and what was asked.
    pub fn told(&self) -> String {
        match &self.asked {
            Some(asked) => format!("{} ({asked})", self.message),
            None => self.message.clone(),
        }
    }
}

impl Refused {
    /// The denial, if a policy or a rule of the gateway denied it.
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied(denied) | Self::NeedsApproval { denied, .. } => Some(denied),
            Self::Overloaded | Self::Unrecorded(_) => None,
        }
    }

    /// The reason for the audit log, if there is more to say than the code.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.denied().map(|denied| denied.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// Stable code of the reason, for the audit log and metrics.
    pub fn code(&self) -> &str {
        match self {
            Self::Denied(denied) | Self::NeedsApproval { denied, .. } => &denied.code,
            Self::Overloaded => Denial::OVERLOADED,
            Self::Unrecorded(_) => "audit",
        }
    }

    /// Whether the policies were not asked because too many decisions are waiting: the same request may succeed
    /// later.
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Overloaded)
    }

    /// Why it was refused, for the caller.
    pub fn told(&self) -> String {
        self.denied().map_or_else(|| self.to_string(), Denied::told)
    }

    /// The same refusal with this question in its message. An empty resource is not shown.
    #[must_use]
    pub fn about(mut self, operation: &str, resource: &str) -> Self {
        if let Self::Denied(denied) | Self::NeedsApproval { denied, .. } = &mut self {
            denied.asked = Some(asked(operation, resource));
        }
        self
    }

    /// The event of the operation that was refused, ready to be recorded.
    pub fn recorded_in(&self, event: Event) -> Event {
        let event = event.denied(self.code().to_owned());
        match self.reason() {
            Some(reason) => event.detail("reason", reason),
            None => event,
        }
    }

    /// What the policies' denial of an operation means.
    pub(crate) fn by_policy(denial: Denial, asked: Option<String>) -> Self {
        let Denial { code, message, audit: reason, approvals } = denial;
        match code.as_str() {
            Denial::OVERLOADED => Self::Overloaded,
            Denial::NEEDS_APPROVAL => {
                let denied = Denied { code, message, asked, reason, by_policy: true };
                Self::NeedsApproval { denied: Box::new(denied), approvals }
            }
            _ => Denied { code, message, asked, reason, by_policy: true }.into(),
        }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

impl From<EvidenceError> for Refused {
    fn from(why: EvidenceError) -> Self {
        Denied::new(why.code(), why.to_string()).because(why.to_string()).into()
    }
}

/// What is asked, in words.
pub(crate) fn asked(operation: &str, resource: &str) -> String {
    if resource.is_empty() { operation.to_owned() } else { format!("{operation} on {resource}") }
}
