//! The composition root: opens every room in the order of the floors and hands each what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use chancery_access::{Access, Directory, TokenLimits};
use chancery_acme::{Acme, AcmeConfig, ValidationConfig};
use chancery_api::TokenHealth;
use chancery_api::acme::AcmeState;
use chancery_api::vault::{Condition, Installation, KeyInToken, Tokens, VaultState};
use chancery_audit::{Audit, AuditConfig, AuditKey};
use chancery_ca::{Ca, OcspResponder};
use chancery_identity::{Clock, PeerCertificate, TenantId};
use chancery_issuance::{Issuance, IssuedCounts, Issuers};
use chancery_keys::pkcs11::{Pkcs11Config, Pkcs11Signer, TokenKey, TokenStatus};
use chancery_policy::{Lookups, PolicyConfig, PolicyHost};
use chancery_seal::{Barrier, RootKey};
use chancery_secrets::ssh::Kind;
use chancery_secrets::transit::Custody;
use chancery_secrets::{Mount, MountKind, Mounts, Secrets};
use chancery_store::redb::RedbStore;
use chancery_store::{Commit, CommitError, Key, SharedStore, Store};
use chancery_upstream::{AcmeUpstream, ChallengeResponses, Trust, UpstreamConfig};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::cas;
use crate::config::{Config, RootKeySource};
use crate::trust;

/// Name of the embedded store in the state directory.
pub(crate) const STORE_FILE: &str = "store.redb";

/// How long another CA may take over one certificate.
const UPSTREAM_DEADLINE: Duration = Duration::from_mins(1);

/// Key of the record that holds the audit log's MAC key.
const AUDIT_KEY: &str = "_/audit/key";

/// Every room, opened.
pub(crate) struct Gateway {
    pub(crate) clock: Clock,
    pub(crate) audit: Audit,
    pub(crate) policy: PolicyHost,
    pub(crate) hsm: Option<Arc<Pkcs11Signer>>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) issuance: Issuance,
    pub(crate) counts: Arc<IssuedCounts>,
    pub(crate) access: Arc<Access>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) acme: Arc<Acme>,
    responses: ChallengeResponses,
    /// Further private CAs.
    pub(crate) further: Vec<Arc<Ca>>,
    /// One for each issuing CA, unless certificates name none.
    pub(crate) responders: Vec<Arc<OcspResponder>>,
    /// Whose certificates there are.
    pub(crate) tenants: Vec<TenantId>,
    condition: watch::Sender<Condition>,
    installation: Arc<Installation>,
}

impl Gateway {
    /// Opens the rooms. `plain_url` is where others reach the plain port; certificates carry it.
    ///
    /// # Errors
    /// Says which room could not be opened and why; nothing is running then.
    pub(crate) async fn open(config: &Config, plain_url: &str, clock: Clock) -> Result<Self> {
        let directory = &config.server.directory;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let hsm = open_hsm(config)?;
        let store = open_store(config, hsm.as_deref()).await?;
        let audit = open_audit(config, &*store, clock.clone()).await?;
        let (directory, counts) = open_lookups(config, &store, &clock).await?;
        let lookups = lookups(&directory, &counts);
        let policy = PolicyHost::open(PolicyConfig {
            lookups,
            history: Some(policy_history(config)),
            clock: clock.clone(),
            ..policy_config(config)
        })
        .context("loading the policies")?;
        let ca = cas::open(&config.ca, store.clone(), hsm.clone(), plain_url, &clock).await?;
        let mut further = vec![];
        for one in &config.issuers {
            further.push(cas::open(one, store.clone(), hsm.clone(), plain_url, &clock).await?);
        }
        let ssh = match &config.ssh {
            Some(ssh) => Some(cas::open_ssh(ssh, &config.ca, store.clone(), hsm.clone()).await?),
            None => None,
        };
        let responses = ChallengeResponses::default();
        let issuers = Issuers {
            private: ca.clone(),
            further: further.clone(),
            ssh,
            upstreams: open_upstreams(config, &store, &responses)?,
            default: Issuers::PRIVATE.to_owned(),
        };
        // The gateway's own certificates are the default tenant's, whoever else there is.
        let tenants = config.tenants.iter().map(|rules| rules.tenant.clone());
        let tenants: BTreeSet<_> = tenants.chain([TenantId::default_tenant()]).collect();
        let tenants: Vec<_> = tenants.into_iter().collect();
        let issuance = Issuance::open(
            issuers,
            policy.clone(),
            store.clone(),
            counts.clone(),
            audit.clone(),
            clock.clone(),
            &tenants,
        )
        .await
        .context("opening the certificate pipeline")?;
        let access = open_access(config, &issuance, &policy, &store, &audit, &clock);
        let access = Arc::new(access.with_directory(directory));
        let mounts = mounts(config)?;
        let secrets =
            Secrets::new(access.clone(), store.clone(), audit.clone(), clock.clone(), mounts);
        let secrets = secrets.with_certificates(issuance.clone());
        let secrets = Arc::new(secrets.with_keys(Custody::new(hsm.clone())));
        let acme = Acme::new(
            acme_config(config),
            store,
            issuance.clone(),
            policy.clone(),
            audit.clone(),
            clock.clone(),
        )?;
        acme.resume().await.context("taking up unfinished orders")?;
        let mut responders = vec![];
        let configs = std::iter::once(&config.ca).chain(&config.issuers);
        for (ca, config) in std::iter::once(&ca).chain(&further).zip(configs) {
            let Some(validity) = config.ocsp_validity else { continue };
            let of = |id| Arc::new(OcspResponder::new(ca.clone(), id, validity));
            responders.extend(ca.issuer_ids().map(of));
        }
        let condition = watch::Sender::new(Condition::Active);
        let installation = Arc::new(installation(config, &ca));
        Ok(Self {
            clock,
            audit,
            policy,
            hsm,
            ca,
            issuance,
            counts,
            access,
            secrets,
            acme,
            responses,
            further,
            responders,
            tenants,
            condition,
            installation,
        })
    }

    /// What is served behind TLS.
    pub(crate) fn tls_router(self: &Arc<Self>) -> axum::Router {
        let (for_list, for_drain, for_keys) = (self.clone(), self.clone(), self.clone());
        let tokens = Tokens {
            list: Arc::new(move || for_list.tokens()),
            drain: Arc::new(move |token, drained| {
                for_drain.hsm.as_ref().is_some_and(|hsm| hsm.drain(token, drained))
            }),
            keys: Arc::new(move || {
                let gateway = for_keys.clone();
                Box::pin(async move { gateway.keys_in_tokens().await })
            }),
        };
        let vault = VaultState {
            tokens,
            secrets: self.secrets.clone(),
            access: self.access.clone(),
            clock: self.clock.clone(),
            condition: self.condition.subscribe(),
            installation: self.installation.clone(),
        };
        let acme = AcmeState { acme: self.acme.clone() };
        chancery_api::tls_router(acme, vault, self.clock.clone())
    }

    /// All private CAs.
    pub(crate) fn cas(&self) -> impl Iterator<Item = &Arc<Ca>> {
        std::iter::once(&self.ca).chain(&self.further)
    }

    /// The certificate of the CA with this id (its key identifier in hex): issuing or root.
    pub(crate) fn issuer(&self, id: &str) -> Option<Bytes> {
        self.cas().find_map(|ca| ca.certificate(id)).map(Bytes::copy_from_slice)
    }

    /// The public key of the CA for SSH: `user-ca` or `host-ca`.
    pub(crate) fn ssh_ca(&self, name: &str) -> Option<String> {
        let kind = match name {
            "user-ca" => Kind::User,
            "host-ca" => Kind::Host,
            _ => return None,
        };
        Some(self.issuance.ssh_ca()?.public_key(kind).line() + "\n")
    }

    /// The OCSP responder of the CA with this id.
    pub(crate) fn ocsp(&self, id: &str) -> Option<Arc<OcspResponder>> {
        self.responders.iter().find(|responder| responder.issuer() == id).cloned()
    }

    async fn keys_in_tokens(&self) -> Result<Vec<KeyInToken>, String> {
        let Some(hsm) = &self.hsm else { return Ok(vec![]) };
        let found = hsm.inspect().await.map_err(|error| error.to_string())?;
        let view = |key: TokenKey| KeyInToken {
            protected: key.is_protected(),
            always_protected: key.always_sensitive && key.never_extractable && key.local,
            class: if key.is_private { "private" } else { "secret" },
            token: key.token,
            label: key.label,
            id: key.id,
            usable: key.usable,
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// How the HSM's tokens are.
    pub(crate) fn tokens(&self) -> Vec<TokenHealth> {
        let status = self.hsm.as_ref().map(|hsm| hsm.status()).unwrap_or_default();
        let health = |status: TokenStatus| TokenHealth {
            token: status.token,
            up: status.trouble.is_none(),
            drained: status.drained,
            keys: status.keys,
            outstanding: status.outstanding,
        };
        status.into_iter().map(health).collect()
    }

    /// The CRL with this name.
    pub(crate) fn crl(&self, id: &str) -> Option<Bytes> {
        self.cas().find_map(|ca| ca.crl_named(id))
    }

    /// What an upstream CA shall find at this token.
    pub(crate) fn challenge_response(&self, token: &str) -> Option<String> {
        self.responses.get(token)
    }

    /// Ends in order: nothing is written to the audit log after this, and the token's sessions close
    /// before the process takes the module's statics down.
    pub(crate) async fn close(&self) {
        self.audit.close().await;
        if let Some(hsm) = self.hsm.clone() {
            let closed = tokio::task::spawn_blocking(move || hsm.shutdown()).await;
            if let Err(error) = closed {
                tracing::warn!(%error, "the PKCS#11 token was not closed");
            }
        }
    }
}

/// The policies' place: shared by `serve`, which runs them, and `check`, which only loads them.
pub(crate) fn policy_config(config: &Config) -> PolicyConfig {
    let compiled = config.server.directory.join("compiled-policies");
    PolicyConfig {
        signers: config.policy_signers.clone(),
        ..PolicyConfig::new(config.policy_directory.clone(), compiled)
    }
}

/// Where the sets of policies are kept that were in force.
pub(crate) fn policy_history(config: &Config) -> PathBuf {
    config.server.directory.join("policy-history")
}

/// What policies can look up, read into memory.
async fn open_lookups(
    config: &Config,
    store: &SharedStore,
    clock: &Clock,
) -> Result<(Arc<Directory>, Arc<IssuedCounts>)> {
    let tenants: Vec<_> = config.tenants.iter().map(|rules| rules.tenant.clone()).collect();
    let directory = Directory::open(store.clone(), &tenants)
        .await
        .context("reading the groups and data sets for policies")?;
    let counts = IssuedCounts::open(store.clone(), clock.clone())
        .await
        .context("counting the certificates of the last 30 days")?;
    Ok((Arc::new(directory), Arc::new(counts)))
}

fn lookups(directory: &Arc<Directory>, counts: &Arc<IssuedCounts>) -> Lookups {
    let (for_groups, for_data, counts) = (directory.clone(), directory.clone(), counts.clone());
    Lookups {
        group: Arc::new(move |tenant, group, who| for_groups.is_member(tenant, group, who)),
        data: Arc::new(move |tenant, set, key| for_data.value(tenant, set, key)),
        issued: Arc::new(move |tenant, to, over| Ok(counts.count(tenant, to, over))),
    }
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
    let raw: SharedStore =
        Arc::new(RedbStore::open(&path).with_context(|| format!("opening {}", path.display()))?);
    let root = match (&config.root_key, hsm) {
        (RootKeySource::File(file), _) => RootKey::from_file(file)?,
        (RootKeySource::PassphraseFile(file), _) => {
            RootKey::from_passphrase_file(file, &*raw).await?
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

fn open_upstreams(
    config: &Config,
    store: &SharedStore,
    responses: &ChallengeResponses,
) -> Result<BTreeMap<String, Arc<AcmeUpstream>>> {
    let mut upstreams = BTreeMap::new();
    for upstream in &config.upstreams {
        let trust = match &upstream.roots {
            None => Trust::Platform,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("upstreams.roots: cannot read {}", path.display()))?;
                Trust::Anchors(trust::certificates_in(&text)?)
            }
        };
        let opened = AcmeUpstream::open(
            UpstreamConfig {
                name: upstream.name.clone(),
                directory: upstream.directory_url.clone(),
                contact: upstream.contact.clone(),
                trust,
                external_account: None,
                deadline: UPSTREAM_DEADLINE,
            },
            store.clone(),
            responses.clone(),
        )?;
        upstreams.insert(upstream.name.clone(), opened);
    }
    Ok(upstreams)
}

fn open_access(
    config: &Config,
    issuance: &Issuance,
    policy: &PolicyHost,
    store: &SharedStore,
    audit: &Audit,
    clock: &Clock,
) -> Access {
    let inventory = issuance.clone();
    let revoked = move |certificate: &PeerCertificate| {
        inventory.is_revoked(&certificate.authority_key_id, &certificate.serial)
    };
    let limits = TokenLimits {
        default_ttl: config.secrets.token_ttl,
        max_ttl: config.secrets.token_max_ttl,
    };
    Access::new(policy.clone(), store.clone(), audit.clone(), clock.clone(), Arc::new(revoked))
        .with_token_limits(limits)
}

fn mounts(config: &Config) -> Result<Mounts> {
    let mut mounts = vec![];
    for name in &config.secrets.mounts {
        let (name, description) = (name.parse()?, "key/value secrets".to_owned());
        mounts.push(Mount { name, kind: MountKind::Kv, description });
    }
    if let Some(name) = &config.secrets.certificates {
        let (name, description) = (name.parse()?, "certificates that were issued".to_owned());
        mounts.push(Mount { name, kind: MountKind::Pki, description });
    }
    if let Some(name) = &config.secrets.keys {
        let (name, description) = (name.parse()?, "keys".to_owned());
        mounts.push(Mount { name, kind: MountKind::Transit, description });
    }
    if let Some(ssh) = &config.ssh {
        let (name, description) = (ssh.mount.parse()?, "certificates for SSH".to_owned());
        mounts.push(Mount { name, kind: MountKind::Ssh, description });
    }
    Ok(Mounts::new(mounts))
}

fn acme_config(config: &Config) -> AcmeConfig {
    let acme = &config.acme;
    AcmeConfig {
        tenants: config.tenants.iter().map(|rules| rules.tenant.clone()).collect(),
        terms_of_service: acme.terms_of_service.clone(),
        website: acme.website.clone(),
        profiles: acme.profiles.clone(),
        default_profile: acme.default_profile.clone(),
        validation: ValidationConfig {
            dns: acme.dns,
            http01_port: acme.http01_port,
            tls_alpn01_port: acme.tls_alpn01_port,
            allowed_networks: acme.allowed_networks.clone(),
            ..ValidationConfig::default()
        },
        ..AcmeConfig::default()
    }
}

/// What `sys/health` and `sys/seal-status` say about this installation.
fn installation(config: &Config, ca: &Ca) -> Installation {
    let seal_type = match config.root_key {
        RootKeySource::File(_) => "file",
        RootKeySource::PassphraseFile(_) => "passphrase",
        RootKeySource::Pkcs11Key(_) => "pkcs11",
    };
    Installation {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_name: "chancery".to_owned(),
        // Stable, public and different between installations: the root's key identifier.
        cluster_id: ca.root_id().to_owned(),
        seal_type: seal_type.to_owned(),
        storage_type: "redb".to_owned(),
    }
}
