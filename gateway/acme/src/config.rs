//! The settings of the ACME server, its limits and its validation, with their defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chancery_identity::{TenantId, Tenants};
use ipnet::IpNet;

use crate::identifier::NameRules;

/// How the ACME server behaves.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// The tenants that are served: whose unfinished work is taken up again after a start.
    pub tenants: Tenants,
    /// The tenant of clients that show no certificate.
    pub tenant: TenantId,
    /// Where the terms of service are; if set, new accounts must agree to them.
    pub terms_of_service: Option<String>,
    /// A page about this server.
    pub website: Option<String>,
    /// The profiles that an order may name, with a description for people. Advertised in the
    /// directory; the certificate policy decides what they mean.
    pub profiles: BTreeMap<String, String>,
    /// The profile of an order that names none.
    pub default_profile: Option<String>,
    /// Which names are certified.
    pub names: NameRules,
    /// The origins whose scripts may use this server from a browser (`https://app.example`); `*` for all, none
    /// by default.
    pub allowed_origins: Vec<String>,
    /// How long an order and its authorizations may stay unfinished: hours, since a client with an account
    /// makes orders for nothing.
    pub order_lifetime: Duration,
    /// How long a valid authorization counts, for revocation (RFC 8555 §7.6).
    pub authorization_lifetime: Duration,
    /// How long orders and authorizations are kept after they are over.
    pub retention: Duration,
    /// How much one account or address may have.
    pub limits: Limits,
    /// The most names in one order.
    pub max_identifiers: usize,
    /// How long an answer to a finalize or challenge request waits for the outcome before it says
    /// `processing`. At most about 2 s: some clients strand on a long `processing`, others time out.
    pub hold: Duration,
    /// How challenges are validated.
    pub validation: ValidationConfig,
}

/// How much one account, and all clients at one address, may have. An address is one of IPv4 or a /64 of IPv6; 0 is
/// no limit. All gateways over one store count together.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Orders of an account that are not finished, or failed within the last hour.
    pub pending_orders_per_account: u16,
    /// The same of all accounts that are used from one address.
    pub pending_orders_per_address: u16,
    /// Orders of an account that were refused within [`refused_window`](Self::refused_window): by a policy, or for what
    /// they ask.
    pub refused_orders_per_account: u16,
    /// The same of all accounts that are used from one address, which counts against those of them that were refused
    /// something; and, by themselves, new accounts that were refused to one address or to the holder of one
    /// certificate.
    pub refused_orders_per_address: u16,
    /// The time over which refusals are counted.
    pub refused_window: Duration,
    /// New contacts and keys of an account within an hour.
    pub account_changes_per_account: u16,
    /// The same of all accounts that are changed from one address, which counts against those of them that were
    /// changed before.
    pub account_changes_per_address: u16,
    /// New accounts from one address within [`new_accounts_window`](Self::new_accounts_window).
    pub new_accounts_per_address: u16,
    /// The time over which new accounts are counted.
    pub new_accounts_window: Duration,
    /// After which time an account is removed that never had an order.
    pub unused_accounts: Duration,
    /// After which time since its last order an account is removed that has no order any more. It should
    /// be longer than certificates are valid, since clients that renew late come with the account that
    /// they have.
    pub idle_accounts: Duration,
}

/// How challenges are validated.
#[derive(Debug, Clone)]
pub struct ValidationConfig {
    /// The resolver to ask; none for the machine's own.
    pub dns: Option<SocketAddr>,
    /// The port of http-01; 80 outside tests (RFC 8555 §8.3).
    pub http01_port: u16,
    /// The port of tls-alpn-01; 443 outside tests (RFC 8737 §3).
    pub tls_alpn01_port: u16,
    /// The networks that may be connected to although they are not public: loopback, private,
    /// link-local and the like. The operator's choice; none by default.
    pub allowed_networks: Vec<IpNet>,
    /// How long one validation may take altogether.
    pub timeout: Duration,
    /// How long one address may take to accept a connection, so that the next one has its turn.
    pub connect_timeout: Duration,
    /// How many validations run at once; one account has at most a quarter of them, one client address
    /// and one registered domain three quarters.
    pub concurrency: usize,
    /// How long a challenge waits for its turn before it is put off. It stays `processing` then, and is
    /// tried again later by itself.
    pub turn_timeout: Duration,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        Self {
            tenants: Tenants::new([]),
            tenant: TenantId::default_tenant(),
            terms_of_service: None,
            website: None,
            profiles: BTreeMap::from([(
                "tls-server".to_owned(),
                "TLS servers: server authentication for DNS names".to_owned(),
            )]),
            default_profile: Some("tls-server".to_owned()),
            names: NameRules { unlisted: true },
            allowed_origins: Vec::new(),
            order_lifetime: Duration::from_secs(12 * HOUR),
            authorization_lifetime: Duration::from_secs(30 * DAY),
            retention: Duration::from_secs(DAY),
            limits: Limits::default(),
            max_identifiers: 100,
            hold: Duration::from_secs(2),
            validation: ValidationConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_orders_per_account: 100,
            pending_orders_per_address: 1000,
            refused_orders_per_account: 100,
            refused_orders_per_address: 1000,
            refused_window: Duration::from_hours(1),
            account_changes_per_account: 100,
            account_changes_per_address: 1000,
            new_accounts_per_address: 100,
            new_accounts_window: Duration::from_hours(3),
            unused_accounts: Duration::from_hours(30 * 24),
            idle_accounts: Duration::from_hours(400 * 24),
        }
    }
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self {
            dns: None,
            http01_port: 80,
            tls_alpn01_port: 443,
            allowed_networks: Vec::new(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            concurrency: 256,
            turn_timeout: Duration::from_secs(30),
        }
    }
}
