//! certbot, from PyPI.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{AcmeServer, Obtained, dns_hook};
use crate::dns::Dns;
use crate::process::{self, Outcome};
use crate::site::Site;

/// certbot with its files in the directory of a site.
#[derive(Debug)]
pub struct Certbot<'a> {
    site: &'a Site,
    server: AcmeServer,
    folder: PathBuf,
    program: PathBuf,
}

impl<'a> Certbot<'a> {
    /// A certbot that has not been used yet.
    #[must_use]
    pub fn new(site: &'a Site, server: AcmeServer) -> Self {
        let program = process::python_tool("certbot");
        Self { site, server, folder: site.folder("certbot"), program }
    }

    /// The certbot of 2021 (1.21), as Debian 11 and Ubuntu 22.04 have it.
    #[must_use]
    pub fn of_2021(site: &'a Site, server: AcmeServer) -> Self {
        let program = process::installed("clients/certbot-1.21/bin/certbot");
        Self { site, server, folder: site.folder("certbot-1.21"), program }
    }

    /// Gets a certificate by http-01, with certbot's own web server.
    #[track_caller]
    #[must_use]
    pub fn http01(&self, names: &[&str]) -> Outcome {
        self.http01_with(names, &[])
    }

    /// The same with further arguments.
    #[track_caller]
    #[must_use]
    pub fn http01_with(&self, names: &[&str], arguments: &[&str]) -> Outcome {
        let mut command = self.command("certonly");
        command
            .args(arguments)
            .args(["--standalone", "--http-01-address", &self.site.address().to_string()])
            .args(["--http-01-port", &Site::HTTP01_PORT.to_string()]);
        process::run(command.args(domains(names)))
    }

    /// Gets a certificate by dns-01, with a hook.
    #[track_caller]
    #[must_use]
    pub fn dns01(&self, names: &[&str], dns: &Dns) -> Outcome {
        let hook = dns_hook();
        let hook = hook.to_str().expect("the repository's path is UTF-8");
        let mut command = self.command("certonly");
        command
            .args(["--manual", "--preferred-challenges", "dns"])
            .args(["--manual-auth-hook", &format!("{hook} certbot-add")])
            .args(["--manual-cleanup-hook", &format!("{hook} certbot-remove")])
            .env("DNS_SERVER", dns.socket().to_string());
        process::run(command.args(domains(names)))
    }

    /// Renews a certificate, whether it is due or not.
    #[track_caller]
    #[must_use]
    pub fn renew(&self, name: &str) -> Outcome {
        let mut command = self.command("renew");
        process::run(command.args([
            "--force-renewal",
            "--no-random-sleep-on-renew",
            "--cert-name",
            name,
        ]))
    }

    /// Revokes a certificate with the account's key.
    #[track_caller]
    #[must_use]
    pub fn revoke(&self, name: &str, reason: &str) -> Outcome {
        let mut command = self.command("revoke");
        process::run(command.args([
            "--no-delete-after-revoke",
            "--reason",
            reason,
            "--cert-name",
            name,
        ]))
    }

    /// Revokes a certificate with its own key.
    #[track_caller]
    #[must_use]
    pub fn revoke_with_key(&self, name: &str) -> Outcome {
        let live = self.live(name);
        let mut command = self.command("revoke");
        command.arg("--no-delete-after-revoke");
        command.arg("--cert-path").arg(live.join("cert.pem"));
        process::run(command.arg("--key-path").arg(live.join("privkey.pem")))
    }

    /// Deactivates the account.
    #[track_caller]
    #[must_use]
    pub fn unregister(&self) -> Outcome {
        process::run(&mut self.command("unregister"))
    }

    /// The newest certificate of that name.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self, name: &str) -> Obtained {
        let live = self.live(name);
        Obtained {
            chain: fs::read_to_string(live.join("fullchain.pem")).expect("certbot keeps the chain"),
            key: fs::read_to_string(live.join("privkey.pem")).expect("certbot keeps the key"),
        }
    }

    fn live(&self, name: &str) -> PathBuf {
        self.folder.join("config/live").join(name)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .arg("--config-dir")
            .arg(self.folder.join("config"))
            .arg("--work-dir")
            .arg(self.folder.join("work"))
            .arg("--logs-dir")
            .arg(self.folder.join("logs"))
            .args(["--server", &self.server.directory, "--non-interactive", "--agree-tos"])
            .env("REQUESTS_CA_BUNDLE", &self.server.root);
        // `revoke` by key and `unregister` would refuse a flag that is not theirs.
        if verb == "certonly" {
            command.arg("--register-unsafely-without-email");
        }
        command
    }
}

fn domains<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["-d", name])
}
