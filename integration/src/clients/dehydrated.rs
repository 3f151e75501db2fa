//! dehydrated, a client in shell script, from the Debian archive.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{AcmeServer, Obtained, dns_hook};
use crate::dns::Dns;
use crate::process::{self, Outcome};
use crate::site::Site;

/// dehydrated with its files in the directory of a site.
#[derive(Debug)]
pub struct Dehydrated {
    folder: PathBuf,
    config: PathBuf,
}

impl Dehydrated {
    /// A dehydrated with an account of its own.
    #[track_caller]
    #[must_use]
    pub fn register(site: &Site, server: &AcmeServer) -> Self {
        let folder = site.folder("dehydrated");
        let config = site.write(
            "dehydrated/config",
            format!(
                "CA='{}'\nBASEDIR='{}'\nWELLKNOWN='{}'\nCURL_OPTS='--cacert {}'\nKEY_ALGO=prime256v1\n",
                server.directory,
                folder.display(),
                site.folder("dehydrated/well-known").display(),
                server.root.display(),
            ),
        );
        let dehydrated = Self { folder, config };
        drop(process::run(dehydrated.command().args(["--register", "--accept-terms"])).success());
        dehydrated
    }

    /// Gets one certificate for some names by dns-01, and calls it `alias`.
    #[track_caller]
    #[must_use]
    pub fn dns01(&self, names: &[&str], alias: &str, dns: &Dns) -> Outcome {
        let mut command = self.command();
        command
            .args(["--cron", "--challenge", "dns-01", "--hook"])
            .arg(dns_hook())
            .args(["--domain", &names.join(" "), "--alias", alias])
            .env("DNS_SERVER", dns.socket().to_string());
        process::run(&mut command)
    }

    /// The newest certificate of that alias.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self, alias: &str) -> Obtained {
        let file = |name: &str| {
            fs::read_to_string(self.folder.join("certs").join(alias).join(name))
                .expect("dehydrated keeps what it got")
        };
        Obtained { chain: file("fullchain.pem"), key: file("privkey.pem") }
    }

    /// Revokes the newest certificate of that alias.
    #[track_caller]
    #[must_use]
    pub fn revoke(&self, alias: &str) -> Outcome {
        let certificate = self.folder.join("certs").join(alias).join("cert.pem");
        process::run(self.command().arg("--revoke").arg(certificate))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(process::tool("dehydrated"));
        command.arg("--config").arg(&self.config);
        command
    }
}
