//! Why a policy gave no answer that counts.

use std::time::Duration;

/// Why a policy gave no answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Trap(String),
    #[error("no answer within the deadline of {} ms (limits.deadline_ms)", .0.as_millis())]
    Deadline(Duration),
    #[error("wanted more memory than its limit of {kib} KiB (limits.memory_kib)")]
    Memory { kib: usize },
    #[error("recursed beyond the stack")]
    Stack,
    #[error("held more handles than the limit")]
    Handles,
    #[error("the answer is larger than its limit")]
    AnswerTooLarge,
    #[error("not an acceptable answer: {0}")]
    Answer(String),
    #[error("refused its settings: {0}")]
    Settings(String),
    #[error("a member failed: {0}")]
    Member(String),
}

impl Failure {
    /// All that [`cause`](Self::cause) says.
    pub(crate) const CAUSES: [&'static str; 9] = [
        "trap",
        "deadline",
        "memory",
        "stack",
        "handles",
        "answer-too-large",
        "answer",
        "settings",
        "member",
    ];

    /// A word for metrics and the audit log.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack => "stack",
            Self::Handles => "handles",
            Self::AnswerTooLarge => "answer-too-large",
            Self::Answer(_) => "answer",
            Self::Settings(_) => "settings",
            Self::Member(_) => "member",
        }
    }
}
