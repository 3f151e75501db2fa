//! What the host hands out: the decision, and who had which part in it.

use crate::question::Denial;

/// The outcome of asking the policies, with the trail that the audit log keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<T> {
    /// What was allowed, or why nothing was.
    pub decision: Result<T, Denial>,
    /// One entry for each policy that was asked, in the order of the bindings' names; then the groups,
    /// each behind its members.
    pub evaluations: Vec<Evaluation>,
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
