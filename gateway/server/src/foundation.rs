//! What the commands beside `serve` open too: the HSM and the store, and where policies are.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer};
use chancery_policy::PolicyConfig;
use chancery_seal::{Barrier, RootKey};
use chancery_store::SharedStore;
use chancery_store::redb::RedbStore;

use crate::config::{Config, RootKeySource};
use crate::policy_compiler;

/// Name of the embedded store in the state directory.
pub(crate) const STORE_FILE: &str = "store.redb";

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

/// The embedded store with the barrier over it: what every room above sees is sealed.
pub(crate) async fn open_store(config: &Config, hsm: Option<&Pkcs11Signer>) -> Result<SharedStore> {
    let path = config.server.directory.join(STORE_FILE);
    let trusted = &config.trusted;
    trusted.directory(&config.server.directory)?;
    if path.exists() {
        trusted.file(&path)?;
    }
    let raw: SharedStore =
        Arc::new(RedbStore::open(&path).with_context(|| format!("opening {}", path.display()))?);
    let root = match (&config.root_key, hsm) {
        (RootKeySource::File(file), _) => RootKey::from_file(file, trusted)?,
        (RootKeySource::PassphraseFile(file), _) => {
            RootKey::from_passphrase_file(file, trusted, &*raw).await?
        }
        (RootKeySource::Pkcs11Key(name), Some(hsm)) => {
            RootKey::from_pkcs11(hsm, name, &*raw).await?
        }
        (RootKeySource::Pkcs11Key(_), None) => {
            anyhow::bail!("seal.pkcs11_key needs a [pkcs11] table")
        }
    };
    let barrier: SharedStore = Barrier::open(raw, root).await.context("opening the seal")?;
    Ok(barrier)
}
