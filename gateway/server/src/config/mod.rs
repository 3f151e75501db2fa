//! The configuration, from file to checked values. What passes here starts, unless the machine
//! itself refuses.

mod acme;
mod audit;
mod bearer;
mod ca;
mod changes;
mod clients;
mod diagnose;
mod document;
mod files;
mod hsm;
mod pkcs11_uri;
mod revocation;
mod server;
mod signers;
mod telemetry;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_access::BearerRole;
use chancery_api::HostName;
use chancery_audit::{LogName, Pace, Rotation};
use chancery_ca::Parent;
use chancery_files::{Trusted, Untrusted, refuse_root_in_foreign};
use chancery_identity::{CaBinding, TenantId, TenantRules, VouchesFor};
use chancery_keys::pkcs11::TokenConfig;
use chancery_keys::{KeyName, KeyType};
use chancery_policy::Signers;
use chancery_revocation::Settings as RevocationSettings;
use chancery_x509::GeneralName;

pub(crate) use changes::Settings;
pub(crate) use diagnose::{ConfigError, InvalidValue};
pub(crate) use hsm::token_of_uri;
pub(crate) use signers::public_keys;

/// The largest configuration file, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A configuration in which every value has been looked at.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: ServerConfig,
    pub(crate) root_key: RootKeySource,
    /// How long a tenant's sealing key is in use; none for no limit by time.
    pub(crate) sealing_key_age: Option<Duration>,
    pub(crate) hsm: Option<HsmConfig>,
    pub(crate) ca: CaConfig,
    /// Further private CAs.
    pub(crate) issuers: Vec<CaConfig>,
    pub(crate) ssh: Option<SshConfig>,
    pub(crate) policy_directory: PathBuf,
    pub(crate) policy_watch: bool,
    pub(crate) policy_signers: Signers,
    pub(crate) acme: AcmeConfig,
    pub(crate) secrets: SecretsConfig,
    pub(crate) clients: ClientsConfig,
    pub(crate) tenants: Vec<TenantRules>,
    /// The tenant whose identities act on the whole installation.
    pub(crate) administration: TenantId,
    pub(crate) audit: AuditSettings,
    /// Who may have a hand in the files.
    pub(crate) trusted: Trusted,
    pub(crate) telemetry: TelemetryConfig,
    pub(crate) upstreams: Vec<UpstreamConfig>,
    /// As it is written, to be compared with another.
    pub(crate) settings: Settings,
}

/// Ports, state, limits.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig {
    pub(crate) directory: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) http: SocketAddr,
    /// Where monitoring reads; the plain port if it is the same address.
    pub(crate) metrics: SocketAddr,
    /// Without a trailing slash; none means that the bound address is used.
    pub(crate) public_http: Option<String>,
    pub(crate) names: Vec<GeneralName>,
    /// Under what clients may call the TLS port: `names`, and what else is configured.
    pub(crate) hosts: Vec<HostName>,
    /// Where the gateway's own key stays in the HSM, its label.
    pub(crate) tls_hsm_key: Option<KeyName>,
    pub(crate) drain: Duration,
    pub(crate) clients: ConnectionsConfig,
}

/// What clients' connections may take: time, room, memory.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionsConfig {
    pub(crate) handshake: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) headers: Duration,
    pub(crate) idle: Duration,
    /// Bytes in a second.
    pub(crate) minimum_rate: u32,
    pub(crate) body_grace: Duration,
    pub(crate) stall: Duration,
    pub(crate) ping: Duration,
    pub(crate) pong: Duration,
    pub(crate) streams: u32,
    /// At the TLS port.
    pub(crate) tls: usize,
    /// At the plain port.
    pub(crate) plain: usize,
    /// None for a share of each port.
    pub(crate) per_address: Option<usize>,
    pub(crate) handshakes_per_address: u32,
    /// In bytes.
    pub(crate) body_memory: usize,
    pub(crate) balancers: Vec<ipnet::IpNet>,
}

/// What opens the barrier.
#[derive(Debug)]
pub(crate) enum RootKeySource {
    File(PathBuf),
    PassphraseFile(PathBuf),
    Pkcs11Key(KeyName),
}

/// The HSMs, with their PINs already read.
#[derive(Debug)]
pub(crate) struct HsmConfig {
    pub(crate) tokens: Vec<TokenConfig>,
    pub(crate) sessions: usize,
    pub(crate) queue: usize,
    pub(crate) deadline: Duration,
    /// How long the start waits for a token.
    pub(crate) wait: Duration,
    pub(crate) session_copies: bool,
}

/// The private CA.
#[derive(Debug)]
pub(crate) struct CaConfig {
    /// The name by which policies choose it.
    pub(crate) name: String,
    pub(crate) parent: Parent,
    pub(crate) keys_in_hsm: bool,
    pub(crate) key_type: KeyType,
    pub(crate) root_name: String,
    pub(crate) issuing_name: String,
    pub(crate) root_validity: Duration,
    pub(crate) issuing_validity: Duration,
    pub(crate) crl_validity: Duration,
    pub(crate) crl_shards: u32,
    /// How long delta CRLs are valid; none if there are to be none.
    pub(crate) delta_crl_validity: Option<Duration>,
    /// How long certificates are kept in the inventory after their end; none for ever.
    pub(crate) keep_expired: Option<Duration>,
    /// How long OCSP answers are valid; none without a responder.
    pub(crate) ocsp_validity: Option<Duration>,
    /// Which of its certificates count as those of clients.
    pub(crate) clients: ClientRule,
}

/// The CA for SSH.
#[derive(Debug)]
pub(crate) struct SshConfig {
    pub(crate) mount: String,
    /// For whom it certifies.
    pub(crate) tenants: BTreeSet<TenantId>,
    pub(crate) key_type: KeyType,
    pub(crate) default_ttl: Duration,
    pub(crate) max_ttl: Duration,
}

/// The ACME server.
#[derive(Debug)]
pub(crate) struct AcmeConfig {
    pub(crate) dns: Option<SocketAddr>,
    pub(crate) http01_port: u16,
    pub(crate) tls_alpn01_port: u16,
    pub(crate) allowed_networks: Vec<ipnet::IpNet>,
    pub(crate) terms_of_service: Option<String>,
    pub(crate) website: Option<String>,
    pub(crate) profiles: BTreeMap<String, String>,
    pub(crate) default_profile: Option<String>,
    /// The tenant of clients that show no certificate.
    pub(crate) tenant: TenantId,
    pub(crate) limits: acme::AcmeLimits,
    pub(crate) unlisted_names: bool,
    pub(crate) allowed_origins: Vec<String>,
}

/// Secret engines and tokens.
#[derive(Debug)]
pub(crate) struct SecretsConfig {
    pub(crate) mounts: Vec<String>,
    pub(crate) certificates: Option<String>,
    pub(crate) keys: Option<String>,
    pub(crate) token_ttl: Duration,
    pub(crate) token_max_ttl: Duration,
    /// None for any number.
    pub(crate) tokens_per_identity: Option<usize>,
    pub(crate) bearer_roles: Vec<BearerRole>,
}

/// Whose client certificates are believed. The files are read at each reload.
#[derive(Debug)]
pub(crate) struct ClientsConfig {
    pub(crate) trust_own_ca: bool,
    pub(crate) cas: Vec<ClientCaConfig>,
}

/// CAs in a file that vouch for clients.
#[derive(Debug)]
pub(crate) struct ClientCaConfig {
    pub(crate) file: PathBuf,
    pub(crate) rule: ClientRule,
    /// How it is found out what they have revoked; none if that is not asked.
    pub(crate) revocation: Option<RevocationSettings>,
}

/// Which client certificates of a CA count, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientRule {
    pub(crate) vouches_for: VouchesFor,
    /// Whether those count that have no extended key usages.
    pub(crate) allow_no_extended_key_usage: bool,
}

impl ClientCaConfig {
    /// The setting that names the file.
    pub(crate) fn key(&self) -> &'static str {
        match self.rule.vouches_for {
            VouchesFor::Everybody => "clients.roots",
            VouchesFor::Only(_) => "clients.cas.file",
        }
    }
}

impl ClientRule {
    /// Whom the tenants recognise.
    pub(crate) fn everybody() -> Self {
        Self { vouches_for: VouchesFor::Everybody, allow_no_extended_key_usage: false }
    }

    /// Whether no certificate counts.
    pub(crate) fn is_nobody(&self) -> bool {
        match &self.vouches_for {
            VouchesFor::Everybody => false,
            VouchesFor::Only(CaBinding { tenants, .. }) => tenants.is_empty(),
        }
    }
}

/// The audit log.
#[derive(Debug)]
pub(crate) struct AuditSettings {
    pub(crate) file: PathBuf,
    pub(crate) name: LogName,
    pub(crate) rotation: Rotation,
    /// How often a log that grows is signed.
    pub(crate) checkpoints: Duration,
    /// How much it is verified while it is written; none for not at all.
    pub(crate) verify: Option<Pace>,
}

/// Logs and traces.
#[derive(Debug)]
pub(crate) struct TelemetryConfig {
    pub(crate) log: String,
    pub(crate) json: bool,
    /// How long a warning that repeats itself is counted and not written; none for never.
    pub(crate) repeat: Option<Duration>,
    pub(crate) otlp_endpoint: Option<String>,
}

/// Another ACME CA.
#[derive(Debug)]
pub(crate) struct UpstreamConfig {
    pub(crate) name: String,
    pub(crate) directory_url: String,
    pub(crate) contact: Vec<String>,
    pub(crate) roots: Option<PathBuf>,
}

impl Config {
    /// The ids of the tenants.
    pub(crate) fn tenant_ids(&self) -> Vec<TenantId> {
        self.tenants.iter().map(|rules| rules.tenant.clone()).collect()
    }

    /// Where others reach the plain port, if it is bound where the configuration says.
    pub(crate) fn plain_url(&self) -> String {
        let ServerConfig { public_http, http, .. } = &self.server;
        public_http.clone().unwrap_or_else(|| format!("http://{http}"))
    }

    /// Reads and validates a configuration file. Nobody but root and the user of this process may change
    /// it: who may could list themselves in it.
    ///
    /// # Errors
    /// Says which file, line and key is wrong and what is expected there; every invalid value at
    /// once, not only the first.
    pub(crate) fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { file: file.to_owned(), cause };
        let content = Trusted::process().read(file, LARGEST).map_err(unreadable)?;
        let text = String::from_utf8(content)
            .map_err(|_| unreadable(Untrusted::NotText(file.to_owned())))?;
        Self::parse(file, &text)
    }

    /// Validates configuration text; `file` is what messages call it, and relative paths start from
    /// its directory.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let document: document::Document = toml::from_str(text)
            .map_err(|error| diagnose::syntax_errors::<document::Document>(file, text, error))?;
        // Before anything else: what else is wrong then is only so for root.
        let directory = file.parent().unwrap_or(Path::new("")).join(&document.server.directory);
        refuse_root_in_foreign(&directory)
            .map_err(|cause| ConfigError::WrongUser { file: file.to_owned(), cause })?;
        validate::validate(file, text, document)
    }
}
