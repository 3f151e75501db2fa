//! What the commands beside `serve` open too: the HSM, and where policies are.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer};
use chancery_policy::PolicyConfig;

use crate::config::Config;
use crate::policy_compiler;

/// The policies' place: shared by `serve`, which runs them, and `check`, which only loads them.
pub(crate) fn policy_config(config: &Config) -> PolicyConfig {
    let compiled = config.server.directory.join("compiled-policies");
    PolicyConfig {
        signers: config.policy_signers.clone(),
        compiler: policy_compiler::compiler(),
        trusted: config.trusted.clone(),
        ..PolicyConfig::new(config.policy_directory.clone(), compiled)
    }
}

/// Where the sets of policies are kept that were in force.
pub(crate) fn policy_history(config: &Config) -> PathBuf {
    config.server.directory.join("policy-history")
}

pub(crate) fn open_hsm(config: &Config) -> Result<Option<Arc<Pkcs11Signer>>> {
    let Some(hsm) = &config.hsm else { return Ok(None) };
    let latches = config.server.directory.clone();
    let mut config = Pkcs11Config::new(hsm.tokens.clone());
    config.sessions = hsm.sessions;
    config.queue = hsm.queue;
    config.deadline = hsm.deadline;
    config.patience = hsm.wait;
    config.session_copies = hsm.session_copies;
    config.latches = Some(latches);
    Ok(Some(Arc::new(Pkcs11Signer::open(config).context("opening the PKCS#11 token")?)))
}
