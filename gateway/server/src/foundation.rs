//! What is opened before the rooms, by `serve` and by the commands beside it: the HSM, the store, and where policies
//! are.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_identity::{Clock, Tenants};
use chancery_issuance::Issuers;
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, Stop};
use chancery_policy::{Compiler, Known, Names, PolicyConfig};

use crate::audit::Chain;
use crate::config::Config;
use crate::policy_compiler;
use crate::policy_places::compiled_policies;
use crate::store::{OpenStore, existing};

/// What stands before the first room of a gateway is opened.
pub(crate) struct Foundation {
    pub(crate) hsm: Option<Arc<Pkcs11Signer>>,
    pub(crate) sealed: OpenStore,
    /// Who compiles policies.
    pub(crate) compiler: Compiler,
    /// Whose audit log it is, among several gateways on one store.
    pub(crate) chain: Chain,
    pub(crate) clock: Clock,
}

impl Foundation {
    /// That of the only gateway on its store. `stop` ends the wait for a token.
    ///
    /// # Errors
    /// The gateway was never begun, or the HSM or the store cannot be opened.
    pub(crate) async fn open(config: &Config, stop: &Stop) -> Result<Self> {
        // Before a token is waited for.
        existing(config)?;
        let hsm = open_hsm_unless(config, stop).await?;
        let sealed = OpenStore::open(config, hsm.as_deref()).await?;
        let compiler = policy_compiler::compiler();
        Ok(Self { hsm, sealed, compiler, chain: Chain::Only, clock: Clock::system() })
    }
}

/// The policies' place: shared by `serve`, which runs them, and `check`, which only loads them.
pub(crate) fn policy_config(config: &Config) -> PolicyConfig {
    let compiled = compiled_policies(config);
    PolicyConfig {
        signers: config.policy_signers.clone(),
        known: known_to_policies(config),
        compiler: policy_compiler::compiler(),
        trusted: config.trusted.clone(),
        ..PolicyConfig::new(config.policy_directory.clone(), compiled)
    }
}

/// What documents of policies may refer to. The gateway's own tenant is there without being configured.
pub(crate) fn known_to_policies(config: &Config) -> Known {
    let issuers = config.issuers.iter().map(|ca| &ca.name);
    let upstreams = config.upstreams.iter().map(|upstream| &upstream.name);
    Known {
        tenants: Names::of_tenants(Tenants::new(config.tenant_ids()).all().iter()),
        issuers: issuers.chain(upstreams).cloned().chain([Issuers::PRIVATE.to_owned()]).collect(),
        ..Known::OPERATIONS
    }
}

pub(crate) fn open_hsm(config: &Config) -> Result<Option<Arc<Pkcs11Signer>>> {
    hsm_config(config).map(open).transpose()
}

/// The same beside the async threads, until somebody says stop.
pub(crate) async fn open_hsm_unless(
    config: &Config,
    stop: &Stop,
) -> Result<Option<Arc<Pkcs11Signer>>> {
    let Some(config) = hsm_config(config) else { return Ok(None) };
    let config = Pkcs11Config { stop: stop.clone(), ..config };
    tokio::task::spawn_blocking(move || open(config)).await?.map(Some)
}

fn open(config: Pkcs11Config) -> Result<Arc<Pkcs11Signer>> {
    Ok(Arc::new(Pkcs11Signer::open(config).context("opening the PKCS#11 token")?))
}

/// What the configuration says of the HSM, if there is one.
pub(crate) fn hsm_config(config: &Config) -> Option<Pkcs11Config> {
    let hsm = config.hsm.as_ref()?;
    let lockouts = config.server.directory.clone();
    let mut config = Pkcs11Config::new(hsm.tokens.clone());
    config.sessions = hsm.sessions;
    config.queue = hsm.queue;
    config.deadline = hsm.deadline;
    config.patience = hsm.wait;
    config.session_copies = hsm.session_copies;
    config.pin_lockouts = Some(lockouts);
    Some(config)
}
