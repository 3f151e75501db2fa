//! ACME: accounts, orders and challenges that one gateway began.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use chancery_identity::Clock;
use chancery_integration::acme::{self, Order, assert_problem};
use chancery_integration::http;
use chancery_integration::jws::{Jws, Key, base64url};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use serde_json::json;

use crate::world::{World, eventually};

#[test]
fn an_order_goes_on_at_the_other_when_the_first_has_vanished() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let responder = Http01::start(&world.site);
    let key = Key::generate();
    let at_a = a.account(&key);
    let order = at_a.order(&["a.example.com"]);
    at_a.prove(&order, &responder);
    a.vanish();

    let at_b = b.account(&key);
    let order = Order { url: b.here(&order.url), body: order.body };
    let order = at_b.until(&order, "ready");
    let (request, _) = acme::request(&["a.example.com"]);
    drop(at_b.finalize(&order, &request).expect(200));
    let chain = at_b.certificate(&order);
    assert_eq!(http::certificates(&chain).len(), 2);
}

#[test]
fn a_challenge_that_one_began_is_validated_by_the_other() {
    let world = World::new();
    let clock = Clock::manual(Clock::system().now());
    let (a, b) = (world.start("a"), world.start_at("b", clock.clone()));
    // It takes the connection of the first gateway and does not answer.
    let silent = TcpListener::bind(world.site.socket(Site::HTTP01_PORT)).expect("a port");
    let key = Key::generate();
    let at_a = a.account(&key);
    let order = at_a.order(&["a.example.com"]);
    let authorization = order.authorizations().remove(0);
    let body = at_a.get(&authorization).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    let token = challenge["token"].as_str().expect("a token").to_owned();
    drop(at_a.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    let asked = silent.accept().expect("the first gateway asks");
    a.vanish();
    drop((asked, silent));

    let responder = Http01::start(&world.site);
    responder.answer(&token, &key.authorization(&token));
    let at_b = b.account(&key);
    // Longer than a gateway may take over a validation.
    clock.advance(Duration::from_mins(5));
    eventually("the other gateway validates it", || {
        at_b.get(&b.here(&authorization)).expect(200).json()["status"] == "valid"
    });
}

#[test]
fn a_key_reported_as_compromised_at_one_is_refused_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let responder = Http01::start(&world.site);
    let account = Key::generate();
    let at_a = a.account(&account);
    let subject = rcgen::KeyPair::generate().expect("a key");
    let chain = at_a.obtain_for(&subject, &["a.example.com"], &responder);
    let certificate = base64url(&http::certificates(&chain)[0]);
    let payload = json!({ "certificate": certificate, "reason": 1 });
    // The key itself says so: what an account says of a reason is not a proof.
    let signer = Key::from_pkcs8(subject.serialized_der());
    let url = at_a.resource("revokeCert");
    let jws = Jws {
        protected: json!({ "alg": "ES256", "jwk": signer.jwk(), "nonce": at_a.nonce(), "url": url }),
        payload: payload.to_string().into_bytes(),
    };
    drop(at_a.send(&url, &jws.sign(&signer)).expect(200));

    let at_b = b.account(&account);
    let order = at_b.order(&["a.example.com"]);
    at_b.prove(&order, &responder);
    let order = at_b.until(&order, "ready");
    let request = acme::request_for(&subject, &["a.example.com"]);
    assert_problem(&at_b.finalize(&order, &request), 400, "badCSR");
}

#[test]
fn an_account_ended_at_one_is_ended_at_the_other() {
    let world = World::new();
    let (a, b) = (world.start("a"), world.start("b"));
    let key = Key::generate();
    let (at_a, at_b) = (a.account(&key), b.account(&key));
    assert_eq!(http::target(&at_a.url), http::target(&at_b.url), "it is the same account");
    drop(at_a.post(&at_a.url, &json!({ "status": "deactivated" })).expect(200));
    let refused = at_b.try_order(&["a.example.com"], json!({}));
    assert_eq!(refused.status, 401, "{}", refused.text());
}

#[test]
fn one_that_starts_takes_nothing_from_one_that_is_at_work() {
    let world = World::new();
    let a = world.start("a");
    let target = TcpListener::bind(world.site.socket(Site::HTTP01_PORT)).expect("a port");
    let key = Key::generate();
    let at_a = a.account(&key);
    let order = at_a.order(&["a.example.com"]);
    let body = at_a.get(&order.authorizations()[0]).expect(200).json();
    let challenge = acme::challenge(&body, "http-01");
    drop(at_a.post(challenge["url"].as_str().expect("a URL"), &json!({})).expect(200));
    let asked = target.accept().expect("the first gateway asks");

    let b = world.start("b");
    drop(b.account(&key));
    target.set_nonblocking(true).expect("a listener");
    let again = target.accept().map(drop).expect_err("nobody else asks");
    assert_eq!(again.kind(), ErrorKind::WouldBlock);
    drop(asked);
}
