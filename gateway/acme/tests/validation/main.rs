//! Challenges against servers that behave and servers that do not, all on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod dns01;
mod http01;
mod nameserver;
mod tls_alpn01;
mod turns;
mod web;

use std::net::SocketAddr;

use chancery_acme::challenge::{ChallengeType, Task, Validator};
use chancery_acme::{Identifier, ValidationConfig};

const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";
const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn key_authorization() -> String {
    format!("{TOKEN}.{THUMBPRINT}")
}

fn task(kind: ChallengeType, name: &str) -> Task {
    let of = |kind| Identifier::parse(kind, name);
    Task {
        identifier: of("ip").or_else(|_| of("dns")).unwrap(),
        kind,
        token: TOKEN.to_owned(),
        thumbprint: THUMBPRINT.to_owned(),
    }
}

/// May connect to loopback, and asks this server for names.
fn config(dns: SocketAddr) -> ValidationConfig {
    ValidationConfig {
        dns: Some(dns),
        allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..ValidationConfig::default()
    }
}

fn validator(config: &ValidationConfig) -> Validator {
    Validator::new(config).unwrap()
}
