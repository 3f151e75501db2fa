//! lego, from the Debian archive.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{AcmeServer, Obtained, dns_hook};
use crate::dns::Dns;
use crate::process::{self, Outcome};
use crate::site::Site;

/// lego with its files in the directory of a site.
#[derive(Debug)]
pub struct Lego<'a> {
    site: &'a Site,
    server: AcmeServer,
    folder: PathBuf,
}

impl<'a> Lego<'a> {
    /// A lego that has not been used yet.
    #[must_use]
    pub fn new(site: &'a Site, server: AcmeServer) -> Self {
        Self { site, server, folder: site.folder("lego") }
    }

    /// Gets a certificate by http-01.
    #[track_caller]
    #[must_use]
    pub fn http01(&self, name: &str) -> Outcome {
        let port = self.site.socket(Site::HTTP01_PORT).to_string();
        process::run(self.command(name).args(["--http", "--http.port", &port, "run"]))
    }

    /// Gets a certificate by tls-alpn-01.
    #[track_caller]
    #[must_use]
    pub fn tls_alpn01(&self, name: &str) -> Outcome {
        let port = self.site.socket(Site::TLS_ALPN01_PORT).to_string();
        process::run(self.command(name).args(["--tls", "--tls.port", &port, "run"]))
    }

    /// Gets a certificate by dns-01.
    #[track_caller]
    #[must_use]
    pub fn dns01(&self, name: &str, dns: &Dns) -> Outcome {
        let server = dns.socket().to_string();
        let mut command = self.command(name);
        command
            .args(["--dns", "exec", "--dns.resolvers", &server, "--dns.disable-cp", "run"])
            .env("EXEC_PATH", dns_hook())
            .env("DNS_SERVER", server);
        process::run(&mut command)
    }

    /// Renews a certificate that was got by http-01, whether it is due or not.
    #[track_caller]
    #[must_use]
    pub fn renew_http01(&self, name: &str) -> Outcome {
        let port = self.site.socket(Site::HTTP01_PORT).to_string();
        let mut command = self.command(name);
        command.args([
            "--http",
            "--http.port",
            &port,
            "renew",
            "--days",
            "9999",
            "--no-random-sleep",
        ]);
        process::run(&mut command)
    }

    /// Revokes a certificate.
    #[track_caller]
    #[must_use]
    pub fn revoke(&self, name: &str) -> Outcome {
        process::run(self.command(name).args(["revoke", "--keep"]))
    }

    /// The certificate of that name.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self, name: &str) -> Obtained {
        // lego writes a wildcard as an underscore.
        let file = |ending: &str| {
            let name = name.replace('*', "_");
            fs::read_to_string(self.folder.join(format!("certificates/{name}.{ending}")))
                .expect("lego keeps what it got")
        };
        Obtained { chain: file("crt"), key: file("key") }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(process::tool("lego"));
        command
            .args(["--server", &self.server.directory, "--accept-tos", "--email", "a@example.com"])
            .arg("--path")
            .arg(&self.folder)
            .args(["--domains", name])
            .env("LEGO_CA_CERTIFICATES", &self.server.root);
        command
    }
}
