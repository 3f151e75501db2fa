//! Revocation, as those see it who look: in the CRL, at the place that the certificate names.

use chancery_integration::acme::assert_problem;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{self, Client};
use chancery_integration::jws::{Jws, Key, base64url};
use chancery_integration::lint;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

/// Fetches the root's CRL, which the issuing certificate of a chain points to, and examines it.
#[track_caller]
pub(crate) fn authority_crl_of(site: &Site, chain: &str, root: &[u8]) {
    let text = lint::field(site, &http::certificates(chain)[1], "-ext crlDistributionPoints");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a CRL's URL");
    let crl = Client::plain(url).get(&http::target(url)).expect(200);
    lint::assert_crl(site, &crl.body, root, true);
}

/// Fetches the CRL that the first certificate of a chain points to, and examines it.
#[track_caller]
pub(crate) fn crl_of(site: &Site, gateway: &Gateway, chain: &str) -> Vec<u8> {
    let certificates = http::certificates(chain);
    let text = lint::field(site, &certificates[0], "-ext crlDistributionPoints");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a CRL's URL");
    assert!(url.starts_with(&gateway.ready().http), "{url} is not at {}", gateway.ready().http);
    let answer = Client::plain(url).get(&http::target(url)).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/pkix-crl"));
    lint::assert_crl(site, &answer.body, &certificates[1], false);
    answer.body
}

#[test]
fn the_places_that_a_certificate_names_have_what_it_says() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let certificates = http::certificates(&chain);

    assert!(lint::revoked_serials(&site, &crl_of(&site, &gateway, &chain)).is_empty());

    let text = lint::field(&site, &certificates[0], "-ext authorityInfoAccess");
    let url = text.split("CA Issuers - URI:").nth(1).expect("the issuer's URL").trim().to_owned();
    let issuer = Client::plain(&url).get(&http::target(&url)).expect(200);
    assert_eq!(issuer.header("content-type"), Some("application/pkix-cert"));
    assert_eq!(issuer.body, certificates[1].as_ref(), "what is published is what is in the chain");

    // The issuing certificate names the CRL of the root.
    let root = std::fs::read_to_string(&gateway.ready().root).expect("the root can be read");
    authority_crl_of(&site, &chain, &http::certificates(&root)[0]);
}

#[test]
fn a_revocation_survives_a_crash() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, _) = account.obtain(&["a.example.com"], &responder);
    let leaf = &http::certificates(&chain)[0];
    let revoke = account.resource("revokeCert");
    let payload = json!({ "certificate": base64url(leaf), "reason": 4 });
    drop(account.post(&revoke, &payload).expect(200));

    let gateway = gateway.kill_and_restart();
    let crl = crl_of(&site, &gateway, &chain);
    assert_eq!(lint::revoked_serials(&site, &crl), [lint::serial(&site, leaf)]);
    let account = account.at(gateway.anonymous(), &gateway.ready().acme_directory);
    let answer = account.post(&account.resource("revokeCert"), &payload);
    assert_problem(&answer, 400, "alreadyRevoked");
}

#[test]
fn only_who_may_revoke_can() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let mut gateway = Options::new(&site).dns(&dns).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let (chain, key) = account.obtain(&["a.example.com"], &responder);
    let leaf = &http::certificates(&chain)[0];
    let url = account.resource("revokeCert");
    let payload = json!({ "certificate": base64url(leaf) });

    let stranger = gateway.account();
    assert_problem(&stranger.post(&url, &payload), 403, "unauthorized");

    let other_key = Key::generate();
    let jws = Jws {
        protected: json!({ "alg": "ES256", "jwk": other_key.jwk(), "nonce": account.nonce(), "url": url }),
        payload: payload.to_string().into_bytes(),
    };
    assert_problem(&account.send(&url, &jws.sign(&other_key)), 403, "unauthorized");

    let bad_reason = json!({ "certificate": base64url(leaf), "reason": 7 });
    assert_problem(&account.post(&url, &bad_reason), 400, "badRevocationReason");
    assert_problem(&account.post(&url, &json!({ "certificate": "AAAA" })), 400, "malformed");
    assert!(lint::revoked_serials(&site, &crl_of(&site, &gateway, &chain)).is_empty());

    // The certificate's own key may.
    let key = Key::from_pkcs8(rcgen::KeyPair::from_pem(&key).expect("a key").serialized_der());
    let jws = Jws {
        protected: json!({ "alg": "ES256", "jwk": key.jwk(), "nonce": account.nonce(), "url": url }),
        payload: payload.to_string().into_bytes(),
    };
    drop(account.send(&url, &jws.sign(&key)).expect(200));
    let crl = crl_of(&site, &gateway, &chain);
    assert_eq!(lint::revoked_serials(&site, &crl), [lint::serial(&site, leaf)]);
    gateway.assert_up();
}
