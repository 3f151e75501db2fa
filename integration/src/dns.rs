//! A real authoritative DNS server (Knot), for http-01 names and dns-01 records.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::process::{self, Server};
use crate::site::Site;

/// An authoritative server for `example.com` and `example.net`, at which every name has the address
/// of the site, and records can be added.
#[derive(Debug)]
pub struct Dns {
    server: Server,
    socket: SocketAddr,
    address: IpAddr,
}

impl Dns {
    /// The zones it serves.
    pub const ZONES: [&str; 2] = ["example.com", "example.net"];

    /// Starts the server and waits until it answers.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        let socket = site.socket(Site::DNS_PORT);
        let folder = site.folder("knot");
        let address = socket.ip();
        let mut config = format!(
            "server:\n    rundir: {folder}\n    listen: {address}@{port}\n\
             log:\n  - target: stdout\n    any: info\n\
             database:\n    storage: {folder}\n\
             acl:\n  - id: anyone\n    address: 127.0.0.0/8\n    action: update\n\
             zone:\n",
            folder = folder.display(),
            port = socket.port(),
        );
        for zone in Self::ZONES {
            let file = site.write(
                &format!("knot/{zone}.zone"),
                format!(
                    "$ORIGIN {zone}.\n$TTL 1\n\
                     @ SOA ns hostmaster 1 3600 600 86400 1\n\
                     @ NS ns\n@ A {address}\n* A {address}\n"
                ),
            );
            write!(config, "  - domain: {zone}\n    file: {}\n    acl: anyone\n", file.display())
                .expect("a string can be written to");
        }
        let config = site.write("knot/knot.conf", config);
        let mut command = Command::new(process::tool("knotd"));
        command.arg("--config").arg(config);
        let mut server = Server::start("knotd", &mut command, &site.file("knot/knot.log"));
        server.line_with("server started", Duration::from_secs(30));
        Self { server, socket, address }
    }

    /// Where it listens, on UDP and TCP.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }

    /// Adds a record, for example `add("_acme-challenge.a.example.com", "TXT", "\"value\"")`.
    #[track_caller]
    pub fn add(&self, name: &str, kind: &str, value: &str) {
        self.update(&format!("update add {name}. 1 {kind} {value}"));
    }

    /// Adds a TXT record below a name, and keeps the name's own addresses: a wildcard ends where
    /// something stands below it.
    #[track_caller]
    pub fn add_txt_below(&self, label: &str, name: &str, value: &str) {
        let address = self.address;
        self.update(&format!(
            "update add {label}.{name}. 1 TXT \"{value}\"\n\
             update add {name}. 1 A {address}\n\
             update add *.{name}. 1 A {address}"
        ));
    }

    /// Removes every record of a name and kind.
    #[track_caller]
    pub fn remove(&self, name: &str, kind: &str) {
        self.update(&format!("update del {name}. {kind}"));
    }

    /// Stops answering, as a server that is down.
    pub fn stop(&mut self) {
        self.server.kill();
    }

    #[track_caller]
    fn update(&self, updates: &str) {
        let zone = Self::ZONES
            .into_iter()
            .find(|zone| updates.contains(&format!("{zone}.")))
            .expect("the name is in a zone of this server");
        let script = format!(
            "server {} {}\nzone {zone}\n{updates}\nsend\n",
            self.socket.ip(),
            self.socket.port()
        );
        drop(
            process::run_with_input(
                &mut Command::new(process::tool("knsupdate")),
                script.as_bytes(),
            )
            .success(),
        );
    }
}
