//! The interfaces of the contract: which a policy exports, which it may import, and in which versions.

use serde::{Deserialize, Serialize};

/// The contract's version: that of the package in `wit/`.
pub const VERSION: &str = "0.9.0";

/// The interface that a component for access exports.
pub(crate) const ACCESS: &str = "chancery:policy/access@0.9.0";
/// The interface that a component for certificates exports.
pub(crate) const CERTIFICATE: &str = "chancery:policy/certificate@0.9.0";

/// The interfaces that a guest may import, with their functions.
pub(crate) const IMPORTS: [(&str, &[&str]); 4] = [
    ("chancery:policy/log", &["write"]),
    ("chancery:policy/groups", &["contains"]),
    ("chancery:policy/data-sets", &["get"]),
    ("chancery:policy/issuance-counts", &["by-name", "by-requester"]),
];

/// What a policy decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Access,
    Certificate,
}

impl Decision {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Certificate => "certificate",
        }
    }

    /// The interface of the contract that answers such requests.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Access => ACCESS,
            Self::Certificate => CERTIFICATE,
        }
    }
}

/// Whether this is the name of the decision's interface in a version that this host has.
pub(crate) fn is_interface(name: &str, decision: Decision) -> bool {
    same_interface(name, decision.interface()) && is_compatible(version(name))
}

pub(crate) fn same_interface(one: &str, two: &str) -> bool {
    one.split('@').next() == two.split('@').next()
}

pub(crate) fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// Whether a plugin built against this version may run here: releases of one series only add to the
/// contract, and what a plugin uses of it is looked at by itself.
pub(crate) fn is_compatible(version: &str) -> bool {
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    series(version).is_some() && series(version) == series(VERSION)
}

pub(crate) fn other_version(name: &str) -> String {
    format!(
        "it was built against version {} of the contract (`{name}`), and this gateway has {VERSION}: use a \
         plugin built for that version, or a gateway that has the plugin's",
        version(name)
    )
}
