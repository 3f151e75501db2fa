//! Stock ACME clients get, renew and revoke certificates, and whatever they get is examined.

use chancery_integration::clients::certbot::Certbot;
use chancery_integration::clients::dehydrated::Dehydrated;
use chancery_integration::clients::lego::Lego;
use chancery_integration::clients::{AcmeServer, Obtained};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http;
use chancery_integration::lint::{self, Purpose};
use chancery_integration::site::Site;

pub(crate) fn server(gateway: &Gateway) -> AcmeServer {
    let ready = gateway.ready();
    AcmeServer { directory: ready.acme_directory.clone(), root: ready.root.clone() }
}

/// Fails unless a certificate is sound, for these names and no other, and matches its key.
#[track_caller]
pub(crate) fn assert_sound(site: &Site, gateway: &Gateway, obtained: &Obtained, names: &[&str]) {
    lint::assert_chain(site, &obtained.chain, &gateway.ready().root, Purpose::Server);
    let leaf = http::certificates(&obtained.chain).remove(0);
    let mut wanted: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
    wanted.sort();
    let text = lint::field(site, &leaf, "-ext subjectAltName");
    let mut found: Vec<_> =
        text.split([',', '\n']).map(str::trim).filter(|part| part.starts_with("DNS:")).collect();
    found.sort_unstable();
    assert_eq!(found, wanted, "{text}");
    // A client would refuse a certificate that is not for its key.
    drop(http::Credential::from_pem(&obtained.chain, &obtained.key));
    let key = site.write("lint/key.pem", &obtained.key);
    let public =
        lint::openssl(&["pkey", "-pubout", "-in", &key.to_string_lossy()]).success().stdout;
    assert_eq!(lint::field(site, &leaf, "-pubkey"), public);
}

#[test]
fn certbot_by_http01_renews_and_revokes() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let certbot = Certbot::new(&site, server(&gateway));

    drop(certbot.http01(&["a.example.com", "b.example.com"]).success());
    let first = certbot.obtained("a.example.com");
    assert_sound(&site, &gateway, &first, &["a.example.com", "b.example.com"]);

    drop(certbot.renew("a.example.com").success());
    let second = certbot.obtained("a.example.com");
    assert_sound(&site, &gateway, &second, &["a.example.com", "b.example.com"]);
    let serial = |obtained: &Obtained| lint::serial(&site, &http::certificates(&obtained.chain)[0]);
    assert_ne!(serial(&first), serial(&second));

    drop(certbot.revoke("a.example.com", "superseded").success());
    let crl = crate::revocation::crl_of(&site, &gateway, &second.chain);
    assert_eq!(lint::revoked_serials(&site, &crl), [serial(&second)], "the first was not revoked");
    drop(certbot.unregister().success());
}

#[test]
fn certbot_by_dns01_gets_a_wildcard_and_revokes_with_the_certificate_s_key() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let certbot = Certbot::new(&site, server(&gateway));

    let names = ["c.example.com", "*.c.example.com"];
    drop(certbot.dns01(&names, &dns).success());
    let obtained = certbot.obtained("c.example.com");
    assert_sound(&site, &gateway, &obtained, &names);

    drop(certbot.revoke_with_key("c.example.com").success());
    let crl = crate::revocation::crl_of(&site, &gateway, &obtained.chain);
    let serial = lint::serial(&site, &http::certificates(&obtained.chain)[0]);
    assert_eq!(lint::revoked_serials(&site, &crl), [serial]);
}

#[test]
fn lego_by_every_challenge() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let lego = Lego::new(&site, server(&gateway));

    drop(lego.http01("d.example.com").success());
    assert_sound(&site, &gateway, &lego.obtained("d.example.com"), &["d.example.com"]);
    drop(lego.renew_http01("d.example.com").success());
    assert_sound(&site, &gateway, &lego.obtained("d.example.com"), &["d.example.com"]);

    drop(lego.tls_alpn01("e.example.com").success());
    assert_sound(&site, &gateway, &lego.obtained("e.example.com"), &["e.example.com"]);

    drop(lego.dns01("*.f.example.com", &dns).success());
    assert_sound(&site, &gateway, &lego.obtained("*.f.example.com"), &["*.f.example.com"]);

    drop(lego.revoke("e.example.com").success());
    let revoked = lego.obtained("e.example.com");
    let crl = crate::revocation::crl_of(&site, &gateway, &revoked.chain);
    let serial = lint::serial(&site, &http::certificates(&revoked.chain)[0]);
    assert_eq!(lint::revoked_serials(&site, &crl), [serial]);
}

#[test]
fn dehydrated_by_dns01() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let dehydrated = Dehydrated::register(&site, &server(&gateway));

    let names = ["g.example.com", "*.g.example.com", "h.example.net"];
    drop(dehydrated.dns01(&names, "g", &dns).success());
    let obtained = dehydrated.obtained("g");
    assert_sound(&site, &gateway, &obtained, &names);

    drop(dehydrated.revoke("g").success());
    let crl = crate::revocation::crl_of(&site, &gateway, &obtained.chain);
    let serial = lint::serial(&site, &http::certificates(&obtained.chain)[0]);
    assert_eq!(lint::revoked_serials(&site, &crl), [serial]);
}

#[test]
fn a_client_that_proves_nothing_gets_nothing() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let mut gateway = Options::new(&site).dns(&dns).start();
    let certbot = Certbot::new(&site, server(&gateway));
    // The name leads to an address where nobody answers.
    dns.add("elsewhere.example.com", "A", "127.0.0.1");
    let said = certbot.http01(&["elsewhere.example.com"]).failure();
    assert!(said.stdout.contains("elsewhere.example.com"), "{said}");
    gateway.assert_up();
}
