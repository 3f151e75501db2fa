//! Libraries of other languages, each behind a short script of ours that leaves `chain.pem` and `key.pem`.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{AcmeServer, Obtained, dns_hook};
use crate::dns::Dns;
use crate::lint;
use crate::process::{self, Outcome};
use crate::site::Site;

/// A script with its files in the directory of a site.
#[derive(Debug)]
pub struct Script {
    folder: PathBuf,
    command: Command,
}

impl Script {
    /// npm's `acme-client`, by http-01.
    #[must_use]
    pub fn node(site: &Site, server: &AcmeServer, names: &[&str]) -> Self {
        let package = process::installed("clients/npm/node_modules/acme-client");
        let mut command = Command::new(process::tool("node"));
        command
            .arg(source("npm/acme-client.js"))
            .arg(&server.directory)
            .args(http01(site))
            .args(names)
            .env("NODE_EXTRA_CA_CERTS", &server.root)
            .env("ACME_CLIENT", package);
        Self { folder: site.folder("node"), command }
    }

    /// Ruby's `acme-client`, by http-01.
    #[must_use]
    pub fn ruby(site: &Site, server: &AcmeServer, names: &[&str]) -> Self {
        let mut command = Command::new(process::tool("ruby"));
        command
            .arg(source("acme-client.rb"))
            .arg(&server.directory)
            .arg(&server.root)
            .args(http01(site))
            .args(names);
        Self { folder: site.folder("ruby"), command }
    }

    /// PyPI's `simple_acme_dns`, by dns-01.
    #[must_use]
    pub fn simple_acme_dns(site: &Site, server: &AcmeServer, dns: &Dns, names: &[&str]) -> Self {
        let mut command = Command::new(process::installed("clients/python/bin/python"));
        command
            .arg(source("python/simple-acme-dns.py"))
            .arg(&server.directory)
            .arg(dns_hook())
            .args(names)
            .env("REQUESTS_CA_BUNDLE", &server.root)
            .env("DNS_SERVER", dns.socket().to_string());
        Self { folder: site.folder("python"), command }
    }

    /// Runs it.
    #[track_caller]
    #[must_use]
    pub fn run(&mut self) -> Outcome {
        process::run(self.command.current_dir(&self.folder))
    }

    /// What it got.
    #[track_caller]
    #[must_use]
    pub fn obtained(&self) -> Obtained {
        let file = |name: &str| {
            fs::read_to_string(self.folder.join(name)).expect("the script writes what it got")
        };
        Obtained { chain: file("chain.pem"), key: file("key.pem") }
    }
}

/// Gets a certificate with PyPI's `acme-tiny`, which wants an account key and a CSR from `openssl` and puts its
/// answers into `web`, the folder `.well-known/acme-challenge` of a web server.
#[track_caller]
#[must_use]
pub fn acme_tiny(site: &Site, server: &AcmeServer, name: &str, web: &OsStr) -> Obtained {
    let file = |name: &str| site.file(&format!("tiny/{name}")).to_string_lossy().into_owned();
    drop(lint::openssl(&["genrsa", "-out", &file("account.key"), "2048"]).success());
    let csr = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/"];
    let names = format!("subjectAltName=DNS:{name}");
    let rest = ["-addext", &names, "-keyout", &file("key.pem"), "-out", &file("csr.pem")];
    drop(lint::openssl(&[csr.as_slice(), rest.as_slice()].concat()).success());
    let mut command = Command::new(process::installed("clients/python/bin/acme-tiny"));
    command
        .args(["--account-key", &file("account.key"), "--csr", &file("csr.pem")])
        .args(["--directory-url", &server.directory, "--disable-check", "--acme-dir"])
        .arg(web)
        .args(["--contact", "mailto:admin@example.com"])
        .env("SSL_CERT_FILE", &server.root);
    let chain = process::run(&mut command).success().stdout;
    let key = fs::read_to_string(file("key.pem")).expect("openssl wrote it");
    Obtained { chain, key }
}

fn source(name: &str) -> PathBuf {
    process::repository().join("integration/clients").join(name)
}

fn http01(site: &Site) -> [String; 2] {
    [site.address().to_string(), Site::HTTP01_PORT.to_string()]
}
