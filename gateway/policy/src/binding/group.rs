//! Groups of bindings that decide together, as documents say them.

use std::collections::BTreeSet;

use super::{Mode, Place, Scope};

/// One group, as its document says it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    pub(crate) mode: Mode,
    pub(crate) rule: Rule,
}

/// How the members' answers become one. They are sets, so their order cannot matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What every member allows.
    All(BTreeSet<String>),
    /// What some member allows.
    Any(BTreeSet<String>),
    /// What the member denies.
    Not(String),
}

impl Rule {
    pub(crate) fn members(&self) -> Vec<&str> {
        match self {
            Self::All(members) | Self::Any(members) => members.iter().map(String::as_str).collect(),
            Self::Not(member) => vec![member],
        }
    }
}
