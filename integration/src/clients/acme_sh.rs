//! acme.sh, a client in shell script, from Debian's testing distribution.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{AcmeServer, Obtained, newer};
use crate::process::{self, Outcome};
use crate::site::Site;

/// acme.sh with its files in the directory of a site.
#[derive(Debug)]
pub struct AcmeSh<'a> {
    site: &'a Site,
    server: AcmeServer,
    folder: PathBuf,
}

impl<'a> AcmeSh<'a> {
    /// An acme.sh that has not been used yet.
    #[must_use]
    pub fn new(site: &'a Site, server: AcmeServer) -> Self {
        Self { site, server, folder: site.folder("acme.sh") }
    }

    /// Gets a certificate by http-01, with an answer behind socat.
    #[track_caller]
    #[must_use]
    pub fn standalone(&self, name: &str) -> Outcome {
        let port = Site::HTTP01_PORT.to_string();
        process::run(self.issue(name).args(["--standalone", "--httpport", &port]))
    }

    /// The same where there is no socat: with a line of Python, which answers before it is asked.
    #[track_caller]
    #[must_use]
    pub fn standalone_without_socat(&self, name: &str) -> Outcome {
        let port = Site::HTTP01_PORT.to_string();
        let programs = self.site.folder("programs");
        link_programs_but("socat", &programs);
        let mut command = self.issue(name);
        process::run(command.args(["--standalone", "--httpport", &port]).env("PATH", programs))
    }

    /// Gets a certificate by tls-alpn-01, with `openssl s_server`.
    #[track_caller]
    #[must_use]
    pub fn tls_alpn01(&self, name: &str) -> Outcome {
        let port = Site::TLS_ALPN01_PORT.to_string();
        process::run(self.issue(name).args(["--alpn", "--tlsport", &port]))
    }

    /// The newest certificate of that name.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self, name: &str) -> Obtained {
        let folder = self.folder.join(format!("{name}_ecc"));
        let file =
            |name: &str| fs::read_to_string(folder.join(name)).expect("acme.sh keeps what it got");
        Obtained { chain: file("fullchain.cer"), key: file(&format!("{name}.key")) }
    }

    fn issue(&self, name: &str) -> Command {
        let mut command = Command::new(newer("usr/share/acme.sh/acme.sh"));
        command
            .args(["--issue", "--server", &self.server.directory, "--domain", name])
            .args(["--local-address", &self.site.address().to_string()])
            .args(["--keylength", "ec-256", "--ca-bundle"])
            .arg(&self.server.root)
            .arg("--home")
            .arg(&self.folder)
            .env("HOME", &self.folder)
            // Debian's wrapper says so: acme.sh does not look for newer versions of itself then.
            .env("ACME_PACKAGED", "1");
        command
    }
}

/// Links every program that is in `PATH` into a folder, but one.
fn link_programs_but(missing: &str, folder: &Path) {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let mut seen = BTreeSet::new();
    for directory in std::env::split_paths(&directories) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != *missing && seen.insert(name.clone()) {
                symlink(entry.path(), folder.join(name)).expect("a link can be made");
            }
        }
    }
}
