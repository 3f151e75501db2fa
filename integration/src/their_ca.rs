//! A foreign certificate authority, run with `openssl`: it issues, revokes, writes CRLs and answers OCSP
//! requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::http::Credential;
use crate::lint::openssl;
use crate::process::{self, Server};
use crate::site::Site;

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// Extensions of a CA below another one.
const OF_CAS: &str = "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n";

/// The authority, in a folder of the site.
#[derive(Debug)]
pub struct TheirCa {
    folder: PathBuf,
}

impl TheirCa {
    /// A root with this common name.
    #[must_use]
    pub fn new(site: &Site, folder: &str, name: &str) -> Self {
        let ca = Self::in_folder(site, folder);
        let subject = format!("/CN={name}");
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        let (key, certificate) = (ca.path("ca.key"), ca.path("ca.pem"));
        let make = ["req", "-x509", "-days", "900", "-subj", &subject, "-addext", usage];
        let files = ["-keyout", &key, "-out", &certificate];
        drop(openssl(&[&make[..], &NEW_KEY, &files].concat()).success());
        ca
    }

    /// A CA below this one.
    #[must_use]
    pub fn below(&self, site: &Site, folder: &str, name: &str) -> Self {
        let ca = Self::in_folder(site, folder);
        self.issue(name, OF_CAS, &ca.path("ca.key"), &ca.path("ca.pem"));
        ca
    }

    fn in_folder(site: &Site, folder: &str) -> Self {
        let ca = Self { folder: site.folder(folder) };
        fs::write(ca.path("index.txt"), "").expect("the folder is writable");
        fs::write(ca.path("index.txt.attr"), "unique_subject = no\n").expect("it is writable");
        fs::write(ca.path("crlnumber"), "01\n").expect("it is writable");
        let here = ca.folder.display();
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {here}/index.txt\ncrlnumber = {here}/crlnumber\n\
             new_certs_dir = {here}\nrand_serial = yes\ndefault_md = sha256\ndefault_days = 800\n\
             certificate = {here}/ca.pem\nprivate_key = {here}/ca.key\npolicy = any\n\
             [any]\ncommonName = supplied\n"
        );
        fs::write(ca.path("openssl.cnf"), config).expect("it is writable");
        ca
    }

    /// A file of the authority.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Its certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        fs::read_to_string(self.path("ca.pem")).expect("it was made")
    }

    fn issue(&self, name: &str, extensions: &str, key: &str, certificate: &str) {
        let (csr, subject) = (self.path("new.csr"), format!("/CN={name}"));
        let extensions_file = self.path("extensions");
        fs::write(&extensions_file, extensions).expect("the folder is writable");
        let make = ["req", "-new", "-subj", &subject, "-keyout", key, "-out", &csr];
        drop(openssl(&[&make[..], &NEW_KEY].concat()).success());
        let config = self.path("openssl.cnf");
        let sign =
            ["ca", "-batch", "-notext", "-config", &config, "-in", &csr, "-out", certificate];
        drop(openssl(&[&sign[..], &["-extfile", &extensions_file]].concat()).success());
    }

    /// A client certificate with this file name and this URI.
    #[must_use]
    pub fn client(&self, name: &str, uri: &str) -> Credential {
        let extensions = format!(
            "subjectAltName = URI:{uri}\nextendedKeyUsage = clientAuth\n\
             keyUsage = critical,digitalSignature\nauthorityKeyIdentifier = keyid\n"
        );
        let (key, certificate) =
            (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        self.issue(name, &extensions, &key, &certificate);
        Credential::read(Path::new(&certificate), Path::new(&key))
    }

    /// Revokes the client certificate with this file name.
    pub fn revoke(&self, name: &str) {
        self.revoke_file(&self.path(&format!("{name}.pem")));
    }

    /// Revokes the certificate of a CA below this one.
    pub fn revoke_ca(&self, ca: &Self) {
        self.revoke_file(&ca.path("ca.pem"));
    }

    fn revoke_file(&self, file: &str) {
        let config = self.path("openssl.cnf");
        drop(openssl(&["ca", "-config", &config, "-revoke", file]).success());
    }

    /// A new CRL as PEM, which is valid for a week.
    #[must_use]
    pub fn crl(&self) -> String {
        self.crl_with(&["-crldays", "7"])
    }

    /// A new CRL that ended long ago.
    #[must_use]
    pub fn crl_out_of_date(&self) -> String {
        self.crl_with(&["-crl_lastupdate", "20250101000000Z", "-crl_nextupdate", "20250108000000Z"])
    }

    fn crl_with(&self, options: &[&str]) -> String {
        let (config, out) = (self.path("openssl.cnf"), self.path("new.crl"));
        let make = ["ca", "-config", &config, "-gencrl", "-out", &out];
        drop(openssl(&[&make[..], options].concat()).success());
        fs::read_to_string(out).expect("it was made")
    }

    /// Its OCSP responder, with a certificate for that, and the responder's URL.
    #[must_use]
    pub fn responder(&self, site: &Site) -> (Server, String) {
        let (key, certificate) = (self.path("responder.key"), self.path("responder.pem"));
        let usage =
            "extendedKeyUsage = OCSPSigning\nkeyUsage = digitalSignature\nnoCheck = ignored\n";
        self.issue("Responder", usage, &key, &certificate);
        let (index, ca) = (self.path("index.txt"), self.path("ca.pem"));
        let mut command = Command::new(process::tool("openssl"));
        command.args(["ocsp", "-port", "0", "-index", &index, "-CA", &ca, "-ndays", "1"]);
        command.args(["-rsigner", &certificate, "-rkey", &key]);
        let mut server = Server::start("openssl ocsp", &mut command, &site.file("ocsp.log"));
        // ACCEPT [::]:46501 PID=12176
        let line = server.line_with("ACCEPT", Duration::from_secs(30));
        let address = line.split(' ').nth(1).expect("an address");
        let port = address.rsplit(':').next().expect("a port");
        (server, format!("http://127.0.0.1:{port}/"))
    }
}

/// Replaces a file's content in one step, as a fetcher of CRLs should.
pub fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("the folder is writable");
    fs::rename(new, file).expect("the folder is writable");
}
