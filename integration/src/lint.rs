//! What others think of our certificates and CRLs: `openssl` and pkilint.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::http;
use crate::process::{self, Outcome};
use crate::site::Site;

/// Whom a certificate is for, which decides what pkilint asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A TLS server in the sense of the CA/Browser Forum's baseline requirements.
    Server,
    /// A TLS server with names that are no public names, judged by RFC 5280 alone.
    InternalServer,
    /// A TLS client, judged by RFC 5280 alone.
    Client,
}

/// Runs `openssl` on files of the site.
#[track_caller]
pub fn openssl(arguments: &[&str]) -> Outcome {
    process::run(Command::new(process::tool("openssl")).args(arguments))
}

/// Fails unless a chain (leaf first, as PEM) leads to the root, for `openssl verify` with every check
/// switched on, and unless pkilint finds nothing in any of its certificates.
#[track_caller]
pub fn assert_chain(site: &Site, chain: &str, root: &Path, purpose: Purpose) {
    let certificates = http::certificates(chain);
    let files: Vec<PathBuf> = certificates
        .iter()
        .enumerate()
        .map(|(n, der)| pem_file(site, &format!("lint/chain-{n}.pem"), der))
        .collect();
    let (leaf, issuers) = files.split_first().expect("a chain has a leaf");
    let mut command = Command::new(process::tool("openssl"));
    command.args(["verify", "-x509_strict", "-policy_check", "-CAfile"]).arg(root);
    command.args(["-purpose", if purpose == Purpose::Client { "sslclient" } else { "sslserver" }]);
    for issuer in issuers {
        command.arg("-untrusted").arg(issuer);
    }
    drop(process::run(command.arg(leaf)).success());

    for file in files.iter().chain([&root.to_path_buf()]) {
        pkilint("lint_pkix_cert", &["lint", "--severity", "NOTICE"], &[file]);
    }
    for pair in files.windows(2) {
        pkilint(
            "lint_pkix_signer_signee_cert_chain",
            &["lint", "--severity", "NOTICE"],
            &[&pair[1], &pair[0]],
        );
    }
    if let Some(last) = files.last() {
        let chain = [root, last.as_path()];
        pkilint("lint_pkix_signer_signee_cert_chain", &["lint", "--severity", "NOTICE"], &chain);
    }
    if purpose == Purpose::Server {
        pkilint(
            "lint_cabf_serverauth_cert",
            &["lint", "--type", "DV-FINAL-CERTIFICATE", "--severity", "WARNING"],
            &[leaf],
        );
    }
}

/// The certificates that a TLS server shows under a name, as PEM; nothing if it shows none.
#[must_use]
pub fn shown_chain(server: SocketAddr, name: &str) -> String {
    let server = server.to_string();
    let said = openssl(&["s_client", "-connect", &server, "-servername", name, "-showcerts"]);
    let mut chain = String::new();
    let mut inside = false;
    for line in said.stdout.lines() {
        inside |= line == "-----BEGIN CERTIFICATE-----";
        if inside {
            chain.push_str(line);
            chain.push('\n');
        }
        inside &= line != "-----END CERTIFICATE-----";
    }
    chain
}

/// Verifies each certificate of a chain, and the last with the root, with a library that knows ML-DSA,
/// which the `openssl` of many systems does not yet.
const VERIFY: &str = r"
import sys
from cryptography import x509
chain = [x509.load_pem_x509_certificate(open(file, 'rb').read()) for file in sys.argv[1:]]
for signed, issuer in zip(chain, chain[1:] + chain[-1:]):
    signed.verify_directly_issued_by(issuer)
    print(type(issuer.public_key()).__name__)
";

/// As [`assert_chain`], for a chain that is signed with ML-DSA: gives what an independent library calls
/// the issuers' keys.
#[track_caller]
#[must_use]
pub fn assert_ml_dsa_chain(site: &Site, chain: &str, root: &Path) -> String {
    let mut files: Vec<PathBuf> = http::certificates(chain)
        .iter()
        .enumerate()
        .map(|(n, der)| pem_file(site, &format!("lint/chain-{n}.pem"), der))
        .collect();
    files.push(root.to_owned());
    for file in &files {
        pkilint("lint_pkix_cert", &["lint", "--severity", "NOTICE"], &[file]);
    }
    let mut python = Command::new(process::python_tool("python"));
    process::run(python.args(["-c", VERIFY]).args(&files)).success().stdout
}

/// Fails unless pkilint finds nothing in a CRL (DER) and `openssl` verifies it with the issuer.
#[track_caller]
pub fn assert_crl(site: &Site, crl: &[u8], issuer: &[u8], authority: bool) {
    let issuer = pem_file(site, "lint/crl-issuer.pem", issuer);
    let file = site.write("lint/issued.crl", crl);
    let said = openssl(&[
        "crl",
        "-inform",
        "DER",
        "-in",
        &file.to_string_lossy(),
        "-CAfile",
        &issuer.to_string_lossy(),
        "-noout",
        "-verify",
    ]);
    drop(said.success().says("verify OK"));
    let kind = if authority { "ARL" } else { "CRL" };
    for profile in ["PKIX", "BR"] {
        pkilint(
            "lint_crl",
            &["lint", "--type", kind, "--profile", profile, "--severity", "NOTICE"],
            &[&file],
        );
    }
}

/// The serial numbers in a CRL (DER), as `openssl` prints them: upper-case hexadecimal.
#[track_caller]
#[must_use]
pub fn revoked_serials(site: &Site, crl: &[u8]) -> Vec<String> {
    let file = site.write("lint/read.crl", crl);
    let text =
        openssl(&["crl", "-inform", "DER", "-noout", "-text", "-in", &file.to_string_lossy()]);
    let text = text.success().stdout;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Serial Number: "))
        .map(|serial| serial.trim_start_matches('0').to_owned())
        .collect()
}

/// The number of a CRL (DER).
#[track_caller]
#[must_use]
pub fn crl_number(site: &Site, crl: &[u8]) -> u64 {
    let file = site.write("lint/number.crl", crl);
    let text =
        openssl(&["crl", "-inform", "DER", "-noout", "-crlnumber", "-in", &file.to_string_lossy()]);
    let text = text.success().stdout;
    let number = text.trim().strip_prefix("crlNumber=").expect("openssl names it");
    u64::from_str_radix(number.trim_start_matches("0x"), 16).expect("a number")
}

/// The serial number of a certificate (DER), as in [`revoked_serials`].
#[track_caller]
#[must_use]
pub fn serial(site: &Site, certificate: &[u8]) -> String {
    let text = field(site, certificate, "-serial");
    text.trim()
        .strip_prefix("serial=")
        .expect("openssl names it")
        .trim_start_matches('0')
        .to_owned()
}

/// What `openssl x509 -noout FLAG…` prints about a certificate (DER).
#[track_caller]
#[must_use]
pub fn field(site: &Site, certificate: &[u8], flags: &str) -> String {
    let file = pem_file(site, "lint/field.pem", certificate);
    let mut command = Command::new(process::tool("openssl"));
    command.args(["x509", "-noout", "-in"]).arg(file).args(flags.split(' '));
    process::run(&mut command).success().stdout
}

/// A DER CRL out of what a server sent; PEM is accepted too.
#[must_use]
pub fn crl_der(bytes: &[u8]) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(bytes)
        .map_or_else(|_| bytes.to_vec(), |crl| crl.to_vec())
}

fn pem_file(site: &Site, name: &str, certificate: &[u8]) -> PathBuf {
    let file = site.file(name);
    let der = site.write(&format!("{name}.der"), CertificateDer::from(certificate).as_ref());
    let mut command = Command::new(process::tool("openssl"));
    command.args(["x509", "-inform", "DER", "-in"]).arg(der).arg("-out").arg(&file);
    drop(process::run(&mut command).success());
    file
}

/// What pkilint finds and we do not mind: code, part of the message, reason.
const KNOWN: [(&str, &str, &str); 6] = [
    (
        "pkix.invalid_domain_name_syntax",
        "\"*.",
        "the lint for RFC 5280 alone knows no wildcards; the CA/Browser Forum's looks at them",
    ),
    (
        "pkix.invalid_domain_name_syntax",
        "\"localhost\"",
        "one of the names of a development gateway, in no other certificate",
    ),
    ("pkix.invalid_uri_syntax", "\"spiffe://", "its grammar of URIs has a list of schemes"),
    ("cabf.internal_domain_name", "\"127.", "where a development gateway publishes its CRL"),
    (
        "cabf.serverauth.subscriber.subject_key_identifier_extension_present",
        "",
        "RFC 5280, section 4.2.1.2, wants it; the CA/Browser Forum would rather not have it",
    ),
    (
        "cabf.serverauth.subscriber.certificate_policies_extension_absent",
        "",
        "the policies it wants claim that a CA keeps the CA/Browser Forum's rules, which ours does not claim",
    ),
];

/// Runs one of pkilint's programs and fails if it finds something that is not [`KNOWN`].
#[track_caller]
fn pkilint(program: &str, arguments: &[&str], files: &[&Path]) {
    let mut command = Command::new(process::python_tool(program));
    command.args(arguments).args(["--format", "JSON"]).args(files);
    let outcome = process::run(&mut command);
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{program} did not report ({error}): {outcome}"));
    let findings: Vec<_> = report["results"]
        .as_array()
        .expect("pkilint gives an array of results")
        .iter()
        .flat_map(|result| result["finding_descriptions"].as_array().cloned().unwrap_or_default())
        .filter(|finding| {
            let text = |member| finding[member].as_str().unwrap_or_default();
            !KNOWN.iter().any(|(code, message, _)| {
                *code == text("code") && text("message").contains(message)
            })
        })
        .collect();
    assert!(findings.is_empty(), "{program}: {findings:#?}");
}
