//! What the commands beside `serve` open too: the HSM, the store and the audit log, and where policies are.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chancery_audit::{Audit, AuditConfig, AuditKey};
use chancery_identity::Clock;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer};
use chancery_policy::PolicyConfig;
use chancery_seal::{Barrier, RootKey};
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, CommitError, Key, SharedStore, Store};
use zeroize::Zeroizing;

use crate::config::{Config, RootKeySource};
use crate::policy_compiler;

/// Name of the embedded store in the state directory.
pub(crate) const STORE_FILE: &str = "store.redb";

/// Key of the record that holds the audit log's MAC key.
const AUDIT_KEY: &str = "_/audit/key";

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

pub(crate) async fn open_audit(config: &Config, store: &dyn Store, clock: Clock) -> Result<Audit> {
    let file = &config.audit_file;
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let key = audit_key(store).await.context("the audit log's key")?;
    Audit::open(AuditConfig { path: file.clone(), key }, clock)
        .with_context(|| format!("opening the audit log {}", file.display()))
}

/// The audit key of a gateway that is stopped: a running one keeps its store to itself.
///
/// # Errors
/// There is no store, it cannot be opened, or the gateway never started.
pub(crate) async fn stored_audit_key(config: &Config) -> Result<AuditKey> {
    let path = config.server.directory.join(STORE_FILE);
    // Opening would make one.
    ensure!(path.is_file(), "{}: there is no store", path.display());
    let hsm = open_hsm(config)?;
    let store = open_store(config, hsm.as_deref()).await?;
    let record = store.get(&Key::new(AUDIT_KEY)?).await?;
    if let Some(hsm) = hsm {
        tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
    }
    let record = record.with_context(|| format!("{}: it has no audit key", path.display()))?;
    Ok(AuditKey::new(&Zeroizing::new(record.value.to_vec()))?)
}

/// Reads the key, or makes it on the first start.
async fn audit_key(store: &dyn Store) -> Result<Zeroizing<Vec<u8>>> {
    let key = Key::new(AUDIT_KEY)?;
    if let Some(record) = store.get(&key).await? {
        return Ok(Zeroizing::new(record.value.to_vec()));
    }
    let mut fresh = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut fresh).context("the system gives no randomness")?;
    let commit = Commit::new().check_absent(key.clone()).put(key, fresh.to_vec());
    match store.commit(commit).await {
        Ok(_) => Ok(fresh),
        Err(error @ CommitError::Conflict { .. }) => Err(error).context("made by somebody else"),
        Err(error) => Err(error.into()),
    }
}
