//! The configuration file as it is written: every key that exists, its default, and nothing else.
//! [`super::Config`] is what remains after validation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::acme::AcmeLimits;

/// `chancery.toml`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) server: Server,
    pub(crate) seal: Seal,
    #[serde(default)]
    pub(crate) pkcs11: Option<Pkcs11>,
    #[serde(default)]
    pub(crate) ca: Ca,
    /// Further private CAs.
    #[serde(default)]
    pub(crate) issuers: Vec<Ca>,
    /// The CA for SSH; there is none without.
    #[serde(default)]
    pub(crate) ssh: Option<Ssh>,
    pub(crate) policy: Policy,
    #[serde(default)]
    pub(crate) acme: Acme,
    #[serde(default)]
    pub(crate) secrets: Secrets,
    #[serde(default)]
    pub(crate) clients: Clients,
    pub(crate) tenants: Vec<Tenant>,
    #[serde(default)]
    pub(crate) administration: Administration,
    #[serde(default)]
    pub(crate) audit: Audit,
    #[serde(default)]
    pub(crate) files: Files,
    #[serde(default)]
    pub(crate) telemetry: Telemetry,
    #[serde(default)]
    pub(crate) upstreams: Vec<Upstream>,
}

/// Where the gateway keeps its state and what it listens on.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// State: the store, the audit log, compiled policies.
    pub(crate) directory: PathBuf,
    /// The TLS port: ACME and `/v1`.
    #[serde(default = "default_listen")]
    pub(crate) listen: String,
    /// The plain port: CRLs, OCSP, issuer certificates, health.
    #[serde(default = "default_http")]
    pub(crate) http: String,
    /// Where metrics and the health of the HSM's tokens are; the plain port itself if it is the same
    /// address.
    #[serde(default = "default_metrics")]
    pub(crate) metrics: String,
    /// The URL under which others reach the plain port; it is written into certificates.
    #[serde(default)]
    pub(crate) public_http: Option<String>,
    /// Names and addresses in the gateway's own certificate.
    pub(crate) names: Vec<String>,
    /// Further names under which clients may call the TLS port, each with a port or without.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Label of the key in the HSM for the gateway's own certificate; left out, it is a key in memory.
    #[serde(default)]
    pub(crate) tls_hsm_key: Option<String>,
    /// How long requests under way may take to finish after SIGTERM.
    #[serde(default = "default_drain")]
    pub(crate) drain_seconds: u64,
    /// Longest that a TLS handshake may take, and before it a PROXY header.
    #[serde(default = "default_handshake")]
    pub(crate) handshake_seconds: u64,
    /// From there to the first byte of the first request.
    #[serde(default = "default_first_byte")]
    pub(crate) first_byte_seconds: u64,
    /// From the first byte of a request to the end of its headers.
    #[serde(default = "default_headers")]
    pub(crate) header_seconds: u64,
    /// Between requests.
    #[serde(default = "default_idle")]
    pub(crate) idle_seconds: u64,
    /// Bytes in a second at which bodies have to come and answers have to be read.
    #[serde(default = "default_minimum_rate")]
    pub(crate) minimum_rate: u32,
    /// How long a body may stay behind that rate.
    #[serde(default = "default_body_grace")]
    pub(crate) body_grace_seconds: u64,
    /// How long an answer may stay behind that rate, or wait to be read.
    #[serde(default = "default_stall")]
    pub(crate) stall_seconds: u64,
    /// HTTP/2: a PING after so long without a byte.
    #[serde(default = "default_ping")]
    pub(crate) http2_ping_seconds: u64,
    /// HTTP/2: how long its answer may take.
    #[serde(default = "default_pong")]
    pub(crate) http2_pong_seconds: u64,
    /// HTTP/2: requests of one connection at once.
    #[serde(default = "default_streams")]
    pub(crate) http2_streams: u32,
    /// Most connections at once at the TLS port.
    #[serde(default = "default_connections")]
    pub(crate) connections: usize,
    /// Most connections at once at the plain port.
    #[serde(default = "default_http_connections")]
    pub(crate) http_connections: usize,
    /// Most connections at once of one client address, at each port.
    #[serde(default)]
    pub(crate) connections_per_address: Option<usize>,
    /// TLS handshakes that one client address may begin in a second.
    #[serde(default = "default_handshakes")]
    pub(crate) handshakes_per_address: u32,
    /// Memory for the bodies of all requests that are under way.
    #[serde(default = "default_body_memory")]
    pub(crate) body_memory_mib: usize,
    /// Networks of load balancers that send the PROXY protocol, version 2.
    #[serde(default)]
    pub(crate) proxy_protocol_from: Vec<String>,
}

/// What opens the encryption barrier; exactly one of the three.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seal {
    /// A file of mode 0600 that holds the root key itself.
    pub(crate) root_key_file: Option<PathBuf>,
    /// A file of mode 0600 that holds a passphrase.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The label of an AES key in the PKCS#11 token.
    pub(crate) pkcs11_key: Option<String>,
    /// After how many days in use a tenant's sealing key is replaced; 0 for never by time.
    #[serde(default = "default_key_days")]
    pub(crate) key_days: u32,
}

fn default_key_days() -> u32 {
    365
}

/// The HSM.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pkcs11 {
    /// Tokens by PKCS#11 URIs (RFC 7512), in place of the next five.
    #[serde(default)]
    pub(crate) uris: Vec<String>,
    pub(crate) module: Option<PathBuf>,
    /// The token's label; `serial` instead names it by serial number.
    pub(crate) token: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) pin_file: Option<PathBuf>,
    /// Name of the environment variable that holds the PIN.
    pub(crate) pin_env: Option<String>,
    #[serde(default = "default_sessions")]
    pub(crate) sessions: usize,
    #[serde(default = "default_queue")]
    pub(crate) queue: usize,
    #[serde(default = "default_deadline")]
    pub(crate) deadline_ms: u64,
    /// How long the start waits for a token that is not there.
    #[serde(default = "default_wait")]
    pub(crate) wait_seconds: u64,
    #[serde(default)]
    pub(crate) session_copies: bool,
}

/// The private CA, made on first start.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ca {
    /// The name by which policies choose it; of a further CA only, the first one is `private`.
    pub(crate) name: Option<String>,
    /// `own-root` or `elsewhere`.
    pub(crate) parent: String,
    /// `software` or `pkcs11`.
    pub(crate) keys: String,
    /// `ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `rsa-2048`, `rsa-3072`, `rsa-4096` or `ed25519`.
    pub(crate) key_type: String,
    pub(crate) root_name: String,
    pub(crate) issuing_name: String,
    pub(crate) root_days: u32,
    pub(crate) issuing_days: u32,
    pub(crate) crl_hours: u32,
    /// Over how many CRLs revocations are spread.
    pub(crate) crl_shards: u32,
    /// For how long delta CRLs are valid; 0 for none.
    pub(crate) delta_crl_hours: u32,
    /// For how many days certificates are kept in the inventory after their end; for ever when left out.
    pub(crate) keep_expired_days: Option<u32>,
    /// For how long OCSP answers are valid; 0 for no responder.
    pub(crate) ocsp_hours: u32,
    /// For whom its client certificates count; for everybody whom the tenants recognise when left out.
    pub(crate) clients: Option<IssuedClients>,
}

/// For whom the client certificates of one of the gateway's own CAs count.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuedClients {
    /// None for no client certificates at all.
    pub(crate) tenants: Vec<String>,
    #[serde(default)]
    pub(crate) trust_domains: Vec<String>,
    #[serde(default)]
    pub(crate) dns_suffixes: Vec<String>,
    /// Whether certificates without the extension for extended key usages count.
    #[serde(default)]
    pub(crate) allow_no_extended_key_usage: bool,
}

/// The CA for SSH; its keys are where those of `[ca]` are.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ssh {
    pub(crate) mount: String,
    /// For whom it certifies; for the tenant that administers the installation when left out.
    pub(crate) tenants: Option<Vec<String>>,
    /// As `ca.key_type`; first start only.
    pub(crate) key_type: String,
    /// How long a certificate is valid that nobody asked another validity for.
    pub(crate) ttl_minutes: u32,
    /// How long it is valid at most.
    pub(crate) max_ttl_hours: u32,
}

/// Policies: a directory of bindings and plugins.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) directory: PathBuf,
    /// Whether a change of its files is taken into use by itself.
    #[serde(default = "yes")]
    pub(crate) watch: bool,
}

fn yes() -> bool {
    true
}

/// The ACME server and how it validates.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Acme {
    /// The DNS server that validation asks; the system's when left out.
    pub(crate) dns: Option<String>,
    pub(crate) http01_port: u16,
    pub(crate) tls_alpn01_port: u16,
    /// Networks beyond the public Internet that validation may connect to.
    pub(crate) allowed_networks: Vec<String>,
    pub(crate) terms_of_service: Option<String>,
    pub(crate) website: Option<String>,
    /// Profiles that an order may name, with a description for people.
    pub(crate) profiles: BTreeMap<String, String>,
    /// The profile of an order that names none.
    pub(crate) default_profile: String,
    /// The tenant of clients that show no certificate; `default` when left out.
    pub(crate) tenant: Option<String>,
    pub(crate) limits: AcmeLimits,
    /// Whether names are certified whose top-level name the public suffix list does not have.
    pub(crate) unlisted_names: bool,
    /// The origins whose scripts may use ACME from a browser; `*` for all.
    pub(crate) allowed_origins: Vec<String>,
}

/// Secret engines.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Secrets {
    pub(crate) mounts: Vec<String>,
    /// Where the tenants find their certificates, as Vault's PKI engine shows them; empty for nowhere.
    pub(crate) certificates: String,
    /// Where the tenants have keys, as Vault's transit engine has them; empty for nowhere.
    pub(crate) keys: String,
    /// Time to live of a token from `auth/cert/login` when policy sets no lower ceiling.
    pub(crate) token_ttl_seconds: u64,
    /// From the login to the end of the last renewal.
    pub(crate) token_max_ttl_seconds: u64,
    /// How many tokens that have not ended one identity may have; 0 for any number.
    pub(crate) tokens_per_identity: u32,
    /// Roles whose logins give bearer tokens.
    pub(crate) bearer_roles: Vec<BearerRole>,
}

/// A role whose logins give bearer tokens, for clients that show their certificate only when they log in.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BearerRole {
    /// The name that the client gives when it logs in.
    pub(crate) role: String,
    /// Whose logins.
    #[serde(default = "default_tenant")]
    pub(crate) tenant: String,
    /// From where one logs in, and from where the tokens are good.
    pub(crate) networks: Vec<String>,
    /// From a login, or a renewal that does not ask for more, to expiry.
    #[serde(default = "bearer_ttl")]
    pub(crate) ttl_seconds: u64,
    /// From the login to the end of the last renewal.
    #[serde(default = "bearer_max_ttl")]
    pub(crate) max_ttl_seconds: u64,
}

fn default_tenant() -> String {
    "default".to_owned()
}

fn bearer_ttl() -> u64 {
    900
}

fn bearer_max_ttl() -> u64 {
    3600
}

/// Whose client certificates are believed.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Clients {
    /// Those of the gateway's own CAs.
    pub(crate) trust_own_ca: bool,
    /// PEM files with further CAs, which vouch for everybody; with one tenant only.
    pub(crate) roots: Vec<PathBuf>,
    /// Further CAs, each with whom it vouches for.
    pub(crate) cas: Vec<ClientCa>,
}

/// A CA of somebody else, and for whom its client certificates count.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCa {
    /// Its certificates in PEM: one, or several while it changes its key.
    pub(crate) file: PathBuf,
    pub(crate) tenants: Vec<String>,
    #[serde(default)]
    pub(crate) trust_domains: Vec<String>,
    #[serde(default)]
    pub(crate) dns_suffixes: Vec<String>,
    /// Whether certificates without the extension for extended key usages count.
    #[serde(default)]
    pub(crate) allow_no_extended_key_usage: bool,
    /// Nothing is asked about revocations without it.
    #[serde(default)]
    pub(crate) revocation: Option<Revocation>,
}

/// How it is found out whether certificates of a client CA were revoked.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Revocation {
    /// Files and web addresses.
    pub(crate) crls: Vec<String>,
    /// A web address.
    pub(crate) ocsp: Option<String>,
    pub(crate) refresh_seconds: u64,
    pub(crate) grace_seconds: u64,
    pub(crate) when_unknown: WhenUnknown,
    pub(crate) crl_mib: u64,
    pub(crate) ocsp_wait_ms: u64,
}

/// What happens with a certificate whose status is unknown.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenUnknown {
    Refuse,
    Accept,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            crls: vec![],
            ocsp: None,
            refresh_seconds: 3600,
            grace_seconds: 0,
            when_unknown: WhenUnknown::Refuse,
            crl_mib: 64,
            ocsp_wait_ms: 2000,
        }
    }
}

/// A tenant and whom it recognises.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) trust_domains: Vec<String>,
    #[serde(default)]
    pub(crate) dns_suffixes: Vec<String>,
    #[serde(default)]
    pub(crate) pinned: Vec<Pinned>,
    /// Files with the public keys whose signatures policies for the tenant have to carry; none are
    /// needed without it.
    #[serde(default)]
    pub(crate) policy_signers: Vec<PathBuf>,
}

/// Who acts on the whole installation.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Administration {
    /// The tenant whose identities may, as far as its policies allow it; `default` when left out, or the only
    /// tenant that there is.
    pub(crate) tenant: Option<String>,
}

/// One certificate with a name given by hand.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pinned {
    pub(crate) fingerprint: String,
    pub(crate) name: String,
}

/// The audit log.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audit {
    /// Defaults to `audit/audit.jsonl` in the state directory.
    pub(crate) file: Option<PathBuf>,
    /// What the log is called in its checkpoints; defaults to the first of `server.names` with `/audit`.
    pub(crate) name: Option<String>,
    /// A file is closed, and the next begun, at this size; 0 for never.
    pub(crate) rotate_mib: u64,
    /// A file is closed, and the next begun, when it is so old; 0 for never.
    pub(crate) rotate_hours: u64,
    /// How often a log that grows is signed.
    pub(crate) checkpoint_seconds: u64,
    /// How much of it is read in a second to verify it while it is written; 0 for none.
    pub(crate) verify_kib_per_second: u64,
}

/// Who besides root and the gateway's user may have a hand in the files that it reads and keeps.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Files {
    /// Users that files may belong to, by name or number.
    pub(crate) trusted_users: Vec<String>,
    /// Groups that may write, by name or number.
    pub(crate) trusted_groups: Vec<String>,
    /// `owner`, `group` or `everybody`.
    pub(crate) secret_readers: String,
}

/// Logs and traces.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// A filter such as `info` or `info,chancery_acme=debug`.
    pub(crate) log: String,
    /// `text` or `json`.
    pub(crate) format: String,
    /// A warning that repeats itself is written once in so many seconds; 0 for each time.
    pub(crate) repeat_seconds: u64,
    /// Where spans go over OTLP/gRPC, for example `http://127.0.0.1:4317`.
    pub(crate) otlp_endpoint: Option<String>,
}

/// Another ACME CA to which policy may send an issuance.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) directory_url: String,
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// PEM file with the roots of the upstream's own TLS certificate; the system's when left out.
    #[serde(default)]
    pub(crate) roots: Option<PathBuf>,
}

impl Default for Ca {
    fn default() -> Self {
        Self {
            name: None,
            parent: "own-root".to_owned(),
            keys: "software".to_owned(),
            key_type: "ecdsa-p256".to_owned(),
            root_name: "Chancery Root CA".to_owned(),
            issuing_name: "Chancery Issuing CA".to_owned(),
            root_days: 7300,
            issuing_days: 1825,
            crl_hours: 24,
            crl_shards: 1,
            delta_crl_hours: 0,
            keep_expired_days: None,
            ocsp_hours: 0,
            clients: None,
        }
    }
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            mount: "ssh".to_owned(),
            tenants: None,
            key_type: "ecdsa-p256".to_owned(),
            ttl_minutes: 60,
            max_ttl_hours: 24,
        }
    }
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            dns: None,
            http01_port: 80,
            tls_alpn01_port: 443,
            allowed_networks: vec![],
            terms_of_service: None,
            website: None,
            profiles: BTreeMap::from([(
                "tls-server".to_owned(),
                "TLS servers: server authentication for DNS names".to_owned(),
            )]),
            default_profile: "tls-server".to_owned(),
            tenant: None,
            limits: AcmeLimits::default(),
            unlisted_names: true,
            allowed_origins: vec![],
        }
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            mounts: vec!["secret".to_owned()],
            certificates: "pki".to_owned(),
            keys: "transit".to_owned(),
            token_ttl_seconds: 3600,
            token_max_ttl_seconds: 86_400,
            tokens_per_identity: 1000,
            bearer_roles: vec![],
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self { trust_own_ca: true, roots: vec![], cas: vec![] }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self { trusted_users: vec![], trusted_groups: vec![], secret_readers: "owner".to_owned() }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            file: None,
            name: None,
            rotate_mib: 1024,
            rotate_hours: 0,
            checkpoint_seconds: 300,
            verify_kib_per_second: 1024,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: "text".to_owned(),
            repeat_seconds: 10,
            otlp_endpoint: None,
        }
    }
}

fn default_listen() -> String {
    "0.0.0.0:8443".to_owned()
}

fn default_http() -> String {
    "0.0.0.0:8080".to_owned()
}

fn default_metrics() -> String {
    "127.0.0.1:8081".to_owned()
}

fn default_drain() -> u64 {
    30
}

fn default_handshake() -> u64 {
    10
}

fn default_first_byte() -> u64 {
    30
}

fn default_headers() -> u64 {
    15
}

/// More than the 60 seconds after which common load balancers give up idle connections: the side that closes
/// first should not be the one who does not know whether a request is on its way.
fn default_idle() -> u64 {
    75
}

fn default_minimum_rate() -> u32 {
    512
}

fn default_body_grace() -> u64 {
    10
}

fn default_stall() -> u64 {
    30
}

fn default_ping() -> u64 {
    30
}

fn default_pong() -> u64 {
    20
}

fn default_handshakes() -> u32 {
    100
}

fn default_streams() -> u32 {
    128
}

fn default_connections() -> usize {
    10_000
}

fn default_http_connections() -> usize {
    2_000
}

fn default_body_memory() -> usize {
    256
}

fn default_sessions() -> usize {
    8
}

fn default_queue() -> usize {
    256
}

fn default_wait() -> u64 {
    30
}

fn default_deadline() -> u64 {
    2_000
}
