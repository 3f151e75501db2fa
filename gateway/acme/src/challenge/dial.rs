//! Connects to the server that a validation asks, only at permitted addresses, and over IPv6 first.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{Either, select};
use hickory_resolver::net::NetError;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lookup::Family;
use super::{Validator, shortage};
use crate::failure::{Failure, FailureKind};

/// How long one family of addresses waits for the other. RFC 8305 §3 has 50 ms, for people who wait; a
/// validation that takes the wrong family may fail.
const FAMILY_PATIENCE: Duration = Duration::from_secs(1);

/// The server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Validator {
    /// Connects to the host. The address that is dialled is the one that was checked: nothing is
    /// looked up twice.
    pub(super) async fn dial(&self, host: &Host, port: u16) -> Result<TcpStream, Failure> {
        match host {
            Host::Address(address) => self.connect(host, vec![*address], port).await,
            Host::Name(name) => self.dial_name(host, name, port).await,
        }
    }

    /// Connects to one of the addresses of a name, those for IPv6 first if they are known in time. If none of
    /// the first ones will do, those that come late are tried too.
    async fn dial_name(&self, host: &Host, name: &str, port: u16) -> Result<TcpStream, Failure> {
        let both = select(
            Box::pin(self.lookups.addresses(name, Family::V6)),
            Box::pin(self.lookups.addresses(name, Family::V4)),
        );
        let (first, mut other) = match both.await {
            Either::Left(done) | Either::Right(done) => done,
        };
        let mut addresses = match first {
            Ok(addresses) => addresses,
            Err(first) => {
                let addresses = (&mut other).await.map_err(|second| {
                    // The error that says more than that there are none.
                    let first_says_little =
                        first.is_no_records_found() || shortage::of_lookup(&second);
                    failed(name, if first_says_little { &second } else { &first })
                })?;
                return self.connect(host, addresses, port).await;
            }
        };
        if let Ok(second) = timeout(FAMILY_PATIENCE, &mut other).await {
            let unknown = second.as_ref().err().filter(|error| shortage::of_lookup(error));
            let unknown = unknown.map(|error| failed(name, error));
            addresses.extend(second.unwrap_or_default());
            addresses.sort_by_key(IpAddr::is_ipv4);
            let connected = self.connect(host, addresses, port).await;
            return connected.map_err(|refused| unknown.unwrap_or(refused));
        }
        let refused = match self.connect(host, addresses, port).await {
            Ok(stream) => return Ok(stream),
            Err(refused) => refused,
        };
        let late = match other.await {
            Ok(late) => late,
            Err(error) if shortage::of_lookup(&error) => return Err(failed(name, &error)),
            Err(_) => return Err(refused),
        };
        self.connect(host, late, port).await.map_err(|also| {
            // Nothing is known as long as one of them is.
            let kind = if also.kind == FailureKind::Internal { also.kind } else { refused.kind };
            Failure::new(kind, format!("{}; {}", refused.detail, also.detail))
        })
    }

    async fn connect(
        &self,
        host: &Host,
        addresses: Vec<IpAddr>,
        port: u16,
    ) -> Result<TcpStream, Failure> {
        let (allowed, forbidden): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.into_iter().partition(|address| self.networks.permit(*address));
        let mut tried = vec![];
        if !forbidden.is_empty() {
            // Clients must not learn the addresses of internal names. The log is for operators.
            let some: Vec<String> = forbidden.iter().take(8).map(ToString::to_string).collect();
            let addresses = some.join(", ");
            tracing::info!(
                %host,
                addresses,
                "did not connect for a validation: these addresses are neither public nor in acme.allowed_networks"
            );
            let address = if forbidden.len() == 1 { "an address" } else { "addresses" };
            tried.push(format!("{address} in a network that is not connected to from here"));
        }
        let mut kind = FailureKind::Connection;
        for address in allowed {
            let address = SocketAddr::new(address, port);
            match timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    if shortage::of_connection(&error, address) {
                        kind = FailureKind::Internal;
                    }
                    tried.push(format!("{address}: {error}"));
                }
                Err(_) => {
                    tried.push(format!("{address}: no answer within {:?}", self.connect_timeout));
                }
            }
        }
        Err(Failure::new(
            kind,
            format!("cannot connect to {host} on port {port}: {}", tried.join("; ")),
        ))
    }
}

fn failed(name: &str, error: &NetError) -> Failure {
    Failure::new(kind_of(error), format!("looking up addresses of {name}: {error}"))
}

/// Whose fault it is that a lookup failed.
pub(super) fn kind_of(error: &NetError) -> FailureKind {
    if shortage::of_lookup(error) { FailureKind::Internal } else { FailureKind::Dns }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}
