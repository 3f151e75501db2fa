//! Real clients, run as somebody would run them by hand.

use std::path::PathBuf;

use crate::process;

pub mod acme_sh;
pub mod bao;
pub mod certbot;
pub mod curl;
pub mod dehydrated;
pub mod haproxy;
pub mod hvac;
pub mod lego;
pub mod mod_md;
pub mod script;

/// An ACME server, as a client is told about it.
#[derive(Clone, Debug)]
pub struct AcmeServer {
    /// The URL of its directory.
    pub directory: String,
    /// The certificate to trust it by, as PEM.
    pub root: PathBuf,
}

/// A certificate as a client left it on the disk.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// The certificate and its chain, leaf first, as PEM.
    pub chain: String,
    /// The key, as PEM.
    pub key: String,
}

/// The script that the clients call to change DNS records.
fn dns_hook() -> PathBuf {
    process::repository().join("integration/clients/dns-hook")
}

/// A file of a program that the machine's distribution does not have, or not new enough: from Debian's testing
/// distribution, below `target/`.
#[track_caller]
fn newer(name: &str) -> PathBuf {
    process::installed("clients/debian").join(name)
}
