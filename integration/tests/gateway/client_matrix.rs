//! Clients of all ages and languages, one whole way each: account, order, challenge, and a certificate that is
//! verified up to the root. Alone: `cargo nextest run -p chancery-integration -E 'test(client_matrix::)'`.
//!
//! The newest certbot, lego and dehydrated are in `acme_clients.rs`, with renewal and revocation.

use chancery_integration::clients::acme_sh::AcmeSh;
use chancery_integration::clients::certbot::Certbot;
use chancery_integration::clients::haproxy::Haproxy;
use chancery_integration::clients::mod_md::ModMd;
use chancery_integration::clients::script::{self, Script};
use chancery_integration::clients::{AcmeServer, Obtained};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::responder::Folder;
use chancery_integration::site::Site;

use crate::acme_clients::{assert_sound, server};

/// A gateway, and what it needs to validate names at its site.
struct Place {
    site: Site,
    dns: Dns,
    gateway: Gateway,
}

impl Place {
    fn new() -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        let gateway = Options::new(&site).dns(&dns).start();
        Self { site, dns, gateway }
    }

    fn acme(&self) -> AcmeServer {
        server(&self.gateway)
    }

    #[track_caller]
    fn assert_sound(&self, obtained: &Obtained, names: &[&str]) {
        assert_sound(&self.site, &self.gateway, obtained, names);
    }
}

#[test]
fn certbot_of_2021() {
    let place = Place::new();
    let certbot = Certbot::of_2021(&place.site, place.acme());
    let names = ["a.example.com", "b.example.com"];
    drop(certbot.http01(&names).success());
    place.assert_sound(&certbot.obtained("a.example.com"), &names);
    let names = ["c.example.com", "*.c.example.com"];
    drop(certbot.dns01(&names, &place.dns).success());
    place.assert_sound(&certbot.obtained("c.example.com"), &names);
    drop(certbot.revoke("a.example.com", "superseded").success());
}

#[test]
fn acme_sh_standalone() {
    let place = Place::new();
    let acme_sh = AcmeSh::new(&place.site, place.acme());
    drop(acme_sh.standalone("a.example.com").success());
    place.assert_sound(&acme_sh.obtained("a.example.com"), &["a.example.com"]);
    drop(acme_sh.tls_alpn01("b.example.com").success());
    place.assert_sound(&acme_sh.obtained("b.example.com"), &["b.example.com"]);
}

#[test]
fn acme_sh_standalone_without_socat() {
    let place = Place::new();
    let acme_sh = AcmeSh::new(&place.site, place.acme());
    drop(acme_sh.standalone_without_socat("a.example.com").success());
    place.assert_sound(&acme_sh.obtained("a.example.com"), &["a.example.com"]);
}

#[test]
fn haproxy() {
    let site = Site::new();
    let dns = Dns::start(&site);
    drop(Options::new(&site).dns(&dns).start().stop());
    // It verifies names only, so the gateway has to have one that DNS leads to.
    let name = "gateway.example.com";
    let gateway = Gateway::serve(&site, |config| {
        let names = config["server"]["names"].as_array_mut().expect("an array");
        names.push(name.into());
    });
    let directory = format!("https://{name}:{}/acme/directory", Gateway::SERVE_PORT);
    let acme = AcmeServer { directory, root: gateway.ready().root.clone() };
    let haproxy = Haproxy::start(&site, &acme, &dns, "a.example.com");
    let chain = haproxy.renew("a.example.com");
    let obtained = Obtained { chain, key: haproxy.key() };
    assert_sound(&site, &gateway, &obtained, &["a.example.com"]);
}

#[test]
fn apache_mod_md() {
    let place = Place::new();
    let apache = ModMd::start(&place.site, &place.acme(), "a.example.com");
    place.assert_sound(&apache.obtained(), &["a.example.com"]);
}

#[test]
fn acme_client_of_npm() {
    let place = Place::new();
    let names = ["a.example.com", "b.example.com"];
    let mut script = Script::node(&place.site, &place.acme(), &names);
    drop(script.run().success());
    place.assert_sound(&script.obtained(), &names);
}

#[test]
fn acme_client_of_ruby() {
    let place = Place::new();
    let names = ["a.example.com", "b.example.com"];
    let mut script = Script::ruby(&place.site, &place.acme(), &names);
    drop(script.run().success());
    place.assert_sound(&script.obtained(), &names);
}

#[test]
fn simple_acme_dns_of_pypi() {
    let place = Place::new();
    let names = ["a.example.com", "*.a.example.com"];
    let mut script = Script::simple_acme_dns(&place.site, &place.acme(), &place.dns, &names);
    drop(script.run().success());
    place.assert_sound(&script.obtained(), &names);
}

#[test]
fn acme_tiny_of_pypi() {
    let place = Place::new();
    let web = Folder::serve(&place.site);
    let obtained = script::acme_tiny(
        &place.site,
        &place.acme(),
        "a.example.com",
        web.challenges().as_os_str(),
    );
    place.assert_sound(&obtained, &["a.example.com"]);
}
