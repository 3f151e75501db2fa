//! `bao`, the command line of OpenBao, which is Vault's under another name.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::Ready;
use crate::process::{self, Outcome};
use crate::site::Site;

/// `bao` with a client certificate. It keeps its token in a home of its own, as it does for people.
#[derive(Debug)]
pub struct Bao {
    address: String,
    root: PathBuf,
    credential: Option<(PathBuf, PathBuf)>,
    home: PathBuf,
}

impl Bao {
    /// With the administrator's certificate.
    #[must_use]
    pub fn of_admin(site: &Site, ready: &Ready) -> Self {
        Self::new(site, ready, "admin", Some((&ready.admin_cert, &ready.admin_key)))
    }

    /// With the application's certificate.
    #[must_use]
    pub fn of_app(site: &Site, ready: &Ready) -> Self {
        Self::new(site, ready, "app", Some((&ready.app_cert, &ready.app_key)))
    }

    fn new(site: &Site, ready: &Ready, who: &str, credential: Option<(&Path, &Path)>) -> Self {
        Self {
            address: ready.api.clone(),
            root: ready.root.clone(),
            credential: credential.map(|(cert, key)| (cert.to_owned(), key.to_owned())),
            home: site.folder(&format!("bao-{who}")),
        }
    }

    /// The same, with the token that it has, on a connection without a certificate.
    #[must_use]
    pub fn without_certificate(self) -> Self {
        Self { credential: None, ..self }
    }

    /// Runs `bao` with these arguments.
    #[track_caller]
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("VAULT_ADDR", &self.address)
            .env("VAULT_CACERT", &self.root);
        if let Some((certificate, key)) = &self.credential {
            command.env("VAULT_CLIENT_CERT", certificate).env("VAULT_CLIENT_KEY", key);
        }
        process::run(&mut command)
    }
}

/// The program itself; what PyPI's package puts before it only starts it.
fn program() -> PathBuf {
    let folder = process::installed("clients/bao/lib");
    process::find(&folder, "bao").expect("the package has the program")
}
