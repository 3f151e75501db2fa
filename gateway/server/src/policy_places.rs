//! Where policies are kept in the state directory.

use std::path::PathBuf;

use crate::config::Config;

/// Where policies are kept that are compiled.
pub(crate) fn compiled_policies(config: &Config) -> PathBuf {
    config.server.directory.join("compiled-policies")
}

/// Where the sets of policies are kept that were in force.
pub(crate) fn policy_history(config: &Config) -> PathBuf {
    config.server.directory.join("policy-history")
}
