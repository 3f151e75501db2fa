//! Which plugin a binding has, in which version.

use std::collections::BTreeMap;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::contract::world::Description;

/// Which version of which plugin each binding had last.
pub(crate) type Versions = BTreeMap<String, Installed>;

/// A version of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Installed {
    pub(crate) plugin: String,
    pub(crate) version: Version,
}

impl Installed {
    /// Name and version, as the contract wants them.
    pub(crate) fn of(description: &Description) -> Result<Self, String> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let name = &description.name;
        if !(1..=64).contains(&name.len()) || !name.bytes().all(letter) {
            return Err(format!("it calls itself {name:?}: a name is 1 to 64 of a-z, 0-9 and '-'"));
        }
        let version = description.version.parse().map_err(|error| {
            format!("it says that its version is {:?}, which is none: {error}", description.version)
        })?;
        Ok(Self { plugin: name.clone(), version })
    }
}

impl std::fmt::Display for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.plugin, self.version)
    }
}
