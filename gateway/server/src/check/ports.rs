//! Whether the ports can be bound.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::{Findings, Installation};
use crate::config::ServerConfig;

pub(super) fn look(config: &ServerConfig, installation: Installation, found: &mut Findings<'_>) {
    let mut ports = vec![("server.listen", config.listen), ("server.http", config.http)];
    if config.metrics != config.http {
        ports.push(("server.metrics", config.metrics));
    }
    // Each is held until all were tried: two may exclude each other.
    let mut held = vec![];
    for (setting, address) in ports {
        match TcpListener::bind(address) {
            Ok(listener) => held.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if installation == Installation::Running {
                    found.note(format!(
                        "{setting}: {address} is in use, as it is while the gateway runs"
                    ));
                } else {
                    found.fault(setting, in_use(address));
                }
            }
            Err(error) => {
                found.fault(setting, format!("cannot listen on {address}: {}", hint(&error)));
            }
        }
    }
}

fn in_use(address: SocketAddr) -> String {
    format!("another program is using {address}: stop it, or choose another port")
}

fn hint(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE (docs/operating/service.md)"
        }
        _ => "the system refuses",
    };
    format!("{hint}: {error}")
}
