//! The OCSP responder, as `openssl ocsp` and caches see it.

use std::path::PathBuf;

use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::hsm::Token;
use chancery_integration::http::{self, Client};
use chancery_integration::jws::base64url;
use chancery_integration::lint::{field, openssl};
use chancery_integration::process::Outcome;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use chancery_pkcs11_faults::Plan;
use serde_json::json;

/// A certificate, its issuer and its responder.
pub(crate) struct Asked {
    site_root: String,
    certificate: PathBuf,
    issuer: PathBuf,
    trusted: PathBuf,
    url: String,
}

impl Asked {
    pub(crate) fn new(site: &Site, gateway: &Gateway, chain: &str) -> Self {
        let pem = |der: &[u8], name: &str| {
            let (der_file, pem_file) = (site.file(&format!("{name}.der")), site.file(name));
            std::fs::write(&der_file, der).expect("the file can be written");
            let (der_file, out) = (der_file.display().to_string(), pem_file.display().to_string());
            drop(openssl(&["x509", "-inform", "DER", "-in", &der_file, "-out", &out]).success());
            pem_file
        };
        let certificates = http::certificates(chain);
        let (certificate, issuer) =
            (pem(&certificates[0], "leaf.pem"), pem(&certificates[1], "ca.pem"));
        let root = std::fs::read_to_string(&gateway.ready().root).expect("the root can be read");
        let trusted = site.file("trusted.pem");
        let issuing = std::fs::read_to_string(&issuer).expect("the issuer can be read");
        std::fs::write(&trusted, root + &issuing).expect("the file can be written");
        let places = field(site, &certificates[0], "-ext authorityInfoAccess");
        let url = places.split("OCSP - URI:").nth(1).expect("the certificate names a responder");
        let url = url.lines().next().unwrap_or_default().trim().to_owned();
        Self { site_root: site.path().display().to_string(), certificate, issuer, trusted, url }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.site_root)
    }

    /// What `openssl ocsp` says, after it has verified the answer.
    fn openssl(&self, which: &[&str], flags: &[&str]) -> Outcome {
        let (issuer, trusted) = (self.issuer.display(), self.trusted.display());
        let (issuer, trusted) = (issuer.to_string(), trusted.to_string());
        let common = ["ocsp", "-issuer", &issuer, "-CAfile", &trusted, "-url", &self.url];
        openssl(&[&common, flags, which].concat())
    }

    pub(crate) fn status(&self, flags: &[&str]) -> String {
        let certificate = self.certificate.display().to_string();
        let said = self.openssl(&["-cert", &certificate], flags).success();
        assert!(said.stderr.contains("Response verify OK"), "{said}");
        said.stdout
    }

    /// A request as a client of HTTP would send it.
    fn request(&self) -> Vec<u8> {
        let (issuer, certificate) =
            (self.issuer.display().to_string(), self.certificate.display().to_string());
        let file = self.path("request.der");
        let arguments = ["-issuer", &issuer, "-cert", &certificate, "-no_nonce", "-reqout", &file];
        drop(openssl(&[&["ocsp"][..], &arguments].concat()).success());
        std::fs::read(file).expect("the request can be read")
    }
}

#[test]
fn openssl_hears_what_became_of_a_certificate() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, _) = account.obtain(&["a.example.com"], &responder);
    let asked = Asked::new(&site, &gateway, &chain);
    for flags in [&[][..], &["-no_nonce"], &["-sha256"]] {
        let said = asked.status(flags);
        assert!(said.contains(": good") && said.contains("Next Update"), "{flags:?}: {said}");
    }

    let leaf = &http::certificates(&chain)[0];
    let payload = json!({ "certificate": base64url(leaf), "reason": 4 });
    drop(account.post(&account.resource("revokeCert"), &payload).expect(200));
    // Also to those who would have been given the answer from before.
    for flags in [&[][..], &["-no_nonce"]] {
        let said = asked.status(flags);
        assert!(said.contains(": revoked") && said.contains("superseded"), "{flags:?}: {said}");
    }
}

#[test]
fn nobody_is_told_that_what_was_never_issued_is_good() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let asked = Asked::new(&site, &gateway, &chain);
    let said = asked.openssl(&["-serial", "0x0102030405"], &[]);
    assert!(said.stderr.contains("unauthorized") || said.stdout.contains("unauthorized"), "{said}");

    // Of several, each has its own answer.
    let certificate = asked.certificate.display().to_string();
    let both = asked.openssl(&["-cert", &certificate, "-serial", "0x0102030405"], &[]).success();
    assert!(both.stdout.contains(": good") && both.stdout.contains(": unknown"), "{both}");

    // The root's certificates are not this responder's.
    let root = gateway.ready().root.display().to_string();
    let issuing = asked.issuer.display().to_string();
    let arguments = ["ocsp", "-issuer", &root, "-cert", &issuing, "-url", &asked.url];
    let said = openssl(&arguments);
    assert!(said.stderr.contains("unauthorized") || said.stdout.contains("unauthorized"), "{said}");
}

#[test]
fn caches_can_answer_by_get() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let asked = Asked::new(&site, &gateway, &chain);
    let request = asked.request();
    let client = Client::plain(&asked.url);
    let target = http::target(&asked.url);
    let kind = [("content-type", "application/ocsp-request")];
    let posted = client.send("POST", &target, &kind, &request).expect(200);
    assert_eq!(posted.header("content-type"), Some("application/ocsp-response"));
    let encoded = base64url(&request);
    let got = client.get(&format!("{target}/{encoded}")).expect(200);
    assert_eq!(got.body, posted.body, "it was signed once");
    let cache = got.header("cache-control").expect("it may be kept");
    assert!(cache.contains("max-age=") && cache.contains("public"), "{cache}");
    for header in ["last-modified", "expires", "etag"] {
        assert!(got.header(header).is_some(), "{header}");
    }
    // Garbage has an answer too: `malformedRequest`.
    let malformed = client.send("POST", &target, &kind, b"garbage").expect(200);
    assert_eq!(malformed.body, b"\x30\x03\x0a\x01\x01");
}

#[test]
fn status_is_told_while_the_hsm_is_away() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let (token, plan) = Token::faulty(&site);
    let gateway = Options::new(&site).dns(&dns).faulty_token(&token, &plan).start();
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let asked = Asked::new(&site, &gateway, &chain);
    plan.set(&Plan { away: vec![Token::LABEL.to_owned()], ..Plan::default() });
    let said = asked.status(&[]);
    assert!(said.contains(": good"), "{said}");
}
