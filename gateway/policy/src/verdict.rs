/// The outcome of asking the policies, with the trail that the audit log keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<T> {
    /// What was allowed, or why nothing was.
    pub decision: Result<T, Denial>,
    /// One entry for each policy that was asked, in the order of the bindings' names; then the groups,
    /// each behind its members.
    pub evaluations: Vec<Evaluation>,
}

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
    pub valid_for: std::time::Duration,
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
}

/// One policy's part in a decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Evaluation {
    /// Name of the binding.
    pub binding: String,
    /// File of the plugin, as the binding names it.
    pub plugin: String,
    /// Digest of the plugin, `sha256:` and 64 hex digits.
    pub digest: String,
    /// Version of the plugin, as it says itself.
    pub version: String,
    /// How long the evaluation took, in microseconds, instantiation included.
    pub micros: u64,
    /// `allow`, `no-objection`, `deny`, `needs-approval` or `error:CAUSE`; with `monitor:` in front if the binding only
    /// watches, `member:` if it counts in a group only, `reused:` if the permission was given before and is
    /// used again.
    pub outcome: String,
    /// The reason code and audit text of a denial, or what went wrong.
    pub detail: String,
}
