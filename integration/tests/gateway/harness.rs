//! The harness and the real clients, proved against somebody else's ACME server (Pebble): what works
//! here and fails against the gateway is the gateway's fault.

use chancery_integration::acme::Account;
use chancery_integration::clients::certbot::Certbot;
use chancery_integration::clients::dehydrated::Dehydrated;
use chancery_integration::clients::lego::Lego;
use chancery_integration::dns::Dns;
use chancery_integration::http::{self, Client};
use chancery_integration::lint;
use chancery_integration::pebble::Pebble;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;

#[test]
fn the_clients_get_certificates_from_another_server() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let pebble = Pebble::start(&site, &dns);
    let root = pebble.issued_root(&site);

    let certbot = Certbot::new(&site, pebble.acme().clone());
    drop(certbot.http01(&["a.example.com"]).success());
    drop(certbot.dns01(&["b.example.com", "*.b.example.com"], &dns).success());
    drop(certbot.renew("a.example.com").success());
    drop(certbot.revoke("a.example.com", "superseded").success());
    drop(certbot.revoke_with_key("b.example.com").success());

    let lego = Lego::new(&site, pebble.acme().clone());
    drop(lego.http01("c.example.com").success());
    drop(lego.renew_http01("c.example.com").success());
    drop(lego.tls_alpn01("d.example.com").success());
    drop(lego.dns01("*.e.example.com", &dns).success());
    drop(lego.revoke("d.example.com").success());

    let dehydrated = Dehydrated::register(&site, pebble.acme());
    drop(dehydrated.dns01(&["f.example.com", "*.f.example.com"], "f", &dns).success());

    for obtained in [
        certbot.obtained("a.example.com"),
        certbot.obtained("b.example.com"),
        lego.obtained("*.e.example.com"),
        dehydrated.obtained("f"),
    ] {
        let leaf = http::certificates(&obtained.chain).remove(0);
        let issuer = lint::field(&site, &leaf, "-issuer");
        assert!(issuer.contains("Pebble Intermediate CA"), "{issuer}, {}", root.display());
    }
}

#[test]
fn the_test_client_gets_a_certificate_from_another_server() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let pebble = Pebble::start(&site, &dns);
    let acme = pebble.acme();
    let account =
        Account::register(Client::new(&acme.directory, &acme.root, None), &acme.directory);
    let responder = Http01::start(&site);
    let (chain, _) = account.obtain(&["a.example.com", "b.example.net"], &responder);
    assert_eq!(http::certificates(&chain).len(), 2, "{chain}");
    assert_eq!(responder.asked().len(), 2 * 3, "Pebble asks from three places");
}
