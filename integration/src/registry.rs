//! An OCI registry: Distribution, as Debian packages it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::foreign::ForeignCa;
use crate::process::{self, Server};
use crate::site::{self, Site};

/// A running registry with one user.
#[derive(Debug)]
pub struct Registry {
    _server: Server,
    address: String,
    password_file: PathBuf,
}

impl Registry {
    /// The name of its user.
    pub const USER: &str = "author";
    const PASSWORD: &str = "correct horse";
    /// The bcrypt hash of the password.
    const HASH: &str = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";

    /// Starts a registry without TLS, and waits until it listens.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        Self::with(site, "")
    }

    /// The same with TLS, under a root that is returned.
    #[must_use]
    pub fn start_tls(site: &Site) -> (Self, PathBuf) {
        let ca = ForeignCa::new("The registry's own TLS");
        let (certificate, key) = ca.server(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let certificate = site.write("registry/certificate.pem", certificate);
        let key = site.write("registry/key.pem", key);
        let tls =
            format!(", tls: {{ certificate: {}, key: {} }}", certificate.display(), key.display());
        (Self::with(site, &tls), site.write("registry/root.pem", ca.pem()))
    }

    fn with(site: &Site, tls: &str) -> Self {
        let users =
            site.write("registry/users", format!("{}:{}\n", Self::USER, Self::HASH).as_bytes());
        let config = site.write(
            "registry/config.yml",
            format!(
                "version: 0.1\n\
                 log: {{ level: info, accesslog: {{ disabled: true }} }}\n\
                 storage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
                 auth: {{ htpasswd: {{ realm: tests, path: {} }} }}\n\
                 http: {{ addr: 127.0.0.1:0, secret: tests{tls} }}\n",
                site.folder("registry/data").display(),
                users.display()
            ),
        );
        let mut command = Command::new(process::tool("docker-registry"));
        command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
        let log = site.file("registry/registry.log");
        let server = Server::start("docker-registry", &mut command, &log);
        let address = process::eventually("the registry listens", Duration::from_secs(30), || {
            let log = server.log();
            let (_, rest) = log.split_once("listening on ")?;
            // With TLS it says so behind a comma.
            rest.split_once(['"', ',']).map(|(address, _)| address.to_owned())
        });
        let password_file = site.write("registry/password", Self::PASSWORD);
        site::private(&password_file);
        Self { _server: server, address, password_file }
    }

    /// Its address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A file with the user's password.
    #[must_use]
    pub fn password_file(&self) -> &PathBuf {
        &self.password_file
    }
}
