//! Pebble, another ACME server. The harness is tested against it, and gateways get certificates
//! from it.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::clients::AcmeServer;
use crate::dns::Dns;
use crate::foreign::ForeignCa;
use crate::http::Client;
use crate::process::{self, Server};
use crate::site::Site;

const CONFIG: &str = "pebble/config.json";

/// A running Pebble.
#[derive(Debug)]
pub struct Pebble {
    _server: Server,
    acme: AcmeServer,
    management: Client,
}

impl Pebble {
    const PORT: u16 = 14000;
    const MANAGEMENT_PORT: u16 = 15000;

    /// Starts Pebble at the address of a site, and waits until it answers. It asks for http-01 answers
    /// where the clients of the tests serve them.
    #[must_use]
    pub fn start(site: &Site, dns: &Dns) -> Self {
        Self::asking(site, dns, Site::HTTP01_PORT)
    }

    /// The same, asking for http-01 answers at this port.
    #[must_use]
    pub fn asking(site: &Site, dns: &Dns, http01_port: u16) -> Self {
        Self::run(site, dns, Self::prepare(site, http01_port))
    }

    /// Prepares one that does not run yet.
    #[must_use]
    pub fn prepare(site: &Site, http01_port: u16) -> AcmeServer {
        let ca = ForeignCa::new("Pebble's own TLS");
        let (certificate, key) = ca.server(IpAddr::V4(site.address()));
        let root = site.write("pebble/root.pem", ca.pem());
        drop(
            site.write(
                CONFIG,
                json!({ "pebble": {
                    "listenAddress": site.socket(Self::PORT).to_string(),
                    "managementListenAddress": site.socket(Self::MANAGEMENT_PORT).to_string(),
                    "certificate": site.write("pebble/certificate.pem", certificate),
                    "privateKey": site.write("pebble/key.pem", key),
                    "httpPort": http01_port,
                    "tlsPort": Site::TLS_ALPN01_PORT,
                }})
                .to_string(),
            ),
        );
        AcmeServer { directory: format!("https://{}/dir", site.socket(Self::PORT)), root }
    }

    /// Runs what was prepared, and waits until it answers.
    #[must_use]
    pub fn run(site: &Site, dns: &Dns, acme: AcmeServer) -> Self {
        let mut command = Command::new(process::tool("pebble"));
        command
            .arg("-config")
            .arg(site.file(CONFIG))
            .args(["-dnsserver", &dns.socket().to_string()])
            // With more than one processor this version deadlocks under concurrency.
            .env("GOMAXPROCS", "1")
            .env("PEBBLE_VA_NOSLEEP", "1")
            // It rejects good nonces at random, to test clients. That is not what is tested here.
            .env("PEBBLE_WFE_NONCEREJECT", "0");
        let server = Server::start("pebble", &mut command, &site.file("pebble/pebble.log"));
        let management = format!("https://{}", site.socket(Self::MANAGEMENT_PORT));
        let management = Client::new(&management, &acme.root, None);
        process::eventually("Pebble answers", Duration::from_secs(30), || {
            management.connect().ok()
        });
        Self { _server: server, acme, management }
    }

    /// What a client needs to know.
    #[must_use]
    pub fn acme(&self) -> &AcmeServer {
        &self.acme
    }

    /// Saves the root of the certificates that it issues, and returns its file.
    #[must_use]
    pub fn issued_root(&self, site: &Site) -> std::path::PathBuf {
        let root = self.management.get("/roots/0").expect(200).text();
        let file = site.file("pebble/issued-root.pem");
        fs::write(&file, root).expect("a file can be written");
        file
    }
}
