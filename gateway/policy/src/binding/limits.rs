//! What an evaluation may use.

use std::time::Duration;

use chancery_sandbox::LARGEST_MEMORY;
use serde::{Deserialize, Serialize};

/// What an evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Of the processor's time; ten times as much by the clock on the wall.
    pub(crate) deadline: Duration,
    /// Linear memory, in bytes.
    pub(crate) memory: usize,
    /// What an answer occupies in the host, in bytes.
    pub(crate) answer: usize,
    /// What it may log, in bytes.
    pub(crate) log: usize,
    /// How many evaluations may run at once; none leaves that to the host.
    pub(crate) concurrent: Option<usize>,
}

impl Limits {
    /// The most that a binding may be given.
    pub(crate) const LARGEST: Self = Self {
        deadline: Duration::from_secs(10),
        memory: LARGEST_MEMORY,
        answer: 1 << 20,
        log: 64 << 10,
        concurrent: None,
    };
}
