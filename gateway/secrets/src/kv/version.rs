//! A version of a secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::custom::CustomMetadata;

/// One version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was written.
    pub created: Timestamp,
    /// When it was, or will be, deleted; it can be brought back.
    pub deletion: Option<Timestamp>,
    /// Whether its value is gone for good.
    pub destroyed: bool,
}

/// The state of a version's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// It can be read.
    Live,
    /// It cannot be read until it is undeleted.
    Deleted,
    /// It does not exist any more.
    Destroyed,
}

/// A version with its number and the secret's notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionMetadata {
    /// Its number.
    pub number: u64,
    /// The version.
    pub version: Version,
    /// Notes about the secret.
    pub custom_metadata: CustomMetadata,
}

impl Version {
    /// The state of its value at `now`.
    pub fn state(&self, now: Timestamp) -> VersionState {
        if self.destroyed {
            VersionState::Destroyed
        } else if self.deletion.is_some_and(|at| at <= now) {
            VersionState::Deleted
        } else {
            VersionState::Live
        }
    }
}
