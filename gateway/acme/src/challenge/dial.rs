use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

use super::Validator;
use crate::failure::{Failure, FailureKind};

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
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.addresses(name).await?,
        };
        let (allowed, forbidden): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.into_iter().partition(|address| self.networks.permit(*address));
        let mut tried: Vec<String> = forbidden
            .iter()
            .map(|address| format!("{address} is in a network that is not connected to from here"))
            .collect();
        for address in allowed {
            let address = SocketAddr::new(address, port);
            match tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => tried.push(format!("{address}: {error}")),
                Err(_) => {
                    tried.push(format!("{address}: no answer within {:?}", self.connect_timeout));
                }
            }
        }
        Err(Failure::new(
            FailureKind::Connection,
            format!("cannot connect to {host} on port {port}: {}", tried.join("; ")),
        ))
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        // With its final dot the name is complete: no search list is tried.
        let found = self.resolver.lookup_ip(format!("{name}.")).await.map_err(|error| {
            Failure::new(FailureKind::Dns, format!("looking up addresses of {name}: {error}"))
        })?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(Failure::new(FailureKind::Dns, format!("{name} has no addresses")));
        }
        Ok(addresses)
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}
