//! Whole ACME orders (one name, http-01, a P-256 key), beside the cryptography that an order cannot
//! do without.

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING};
use chancery_integration::acme::{Account, MEDIA_TYPE, challenge, request};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{Connection, Response, target};
use chancery_integration::jws::{Jws, base64url};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use chancery_x509::CertificateRequest;
use serde_json::{Value, json};

use crate::measure;
use crate::report::Row;

/// Clients at once, each with an account and a connection of its own.
const CLIENTS: usize = 8;
const TIME: Duration = Duration::from_secs(4);

/// Signed requests that the server verifies in one order: new order, authorization, challenge,
/// another look at the authorization, finalize, certificate.
const SIGNED_REQUESTS: usize = 6;

pub(crate) fn rows() -> Vec<Row> {
    let site = Site::new();
    let dns = Dns::start(&site);
    let responder = Http01::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let mut cpu = vec![];
    let (orders, crypto) = measure::pair(
        || {
            let before = measure::cpu_seconds(gateway.id());
            let (rate, done) = orders_per_second(&gateway, &responder);
            cpu.push((measure::cpu_seconds(gateway.id()) - before) * 1e3 / done);
            rate
        },
        cryptography_per_second,
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    vec![
        Row::new(
            format!("acme: whole orders, {CLIENTS} clients (floor: the cryptography, all cores)"),
            "orders/s",
            orders,
            crypto * cores,
        ),
        Row::new(
            "acme: server CPU per order (floor: the cryptography)",
            "ms",
            measure::median(cpu),
            1e3 / crypto,
        ),
    ]
}

/// Orders per second, and how many there were.
fn orders_per_second(gateway: &Gateway, responder: &Http01) -> (f64, f64) {
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(gateway)).collect();
    let started = Instant::now();
    let done: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(number, mut client)| {
                scope.spawn(move || {
                    let mut done = 0;
                    while started.elapsed() < TIME {
                        client.obtain(&format!("a{done}.c{number}.bench.example.com"), responder);
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    (done as f64 / started.elapsed().as_secs_f64(), done as f64)
}

/// An ACME client that keeps its connection and uses the nonce of each answer for the next request.
struct Client {
    account: Account,
    connection: Connection,
    nonce: String,
}

impl Client {
    fn new(gateway: &Gateway) -> Self {
        let account = Account::register(gateway.anonymous(), &gateway.ready().acme_directory);
        let connection = account.client().connect().unwrap();
        let nonce = account.nonce();
        Self { account, connection, nonce }
    }

    fn post(&mut self, url: &str, payload: Vec<u8>) -> Response {
        let protected = json!({
            "alg": "ES256", "kid": self.account.url, "nonce": self.nonce, "url": url
        });
        let body = Jws { protected, payload }.sign(self.account.key()).to_string();
        let answer = self
            .connection
            .send("POST", &target(url), &[("content-type", MEDIA_TYPE)], body.as_bytes())
            .unwrap();
        assert!(answer.status < 300, "{url}: {}", answer.text());
        answer.header("replay-nonce").expect("a nonce").clone_into(&mut self.nonce);
        answer
    }

    fn obtain(&mut self, name: &str, responder: &Http01) {
        let payload = json!({ "identifiers": [{ "type": "dns", "value": name }] });
        let new_order = self.account.resource("newOrder");
        let answer = self.post(&new_order, payload.to_string().into_bytes());
        let order_url = answer.header("location").unwrap().to_owned();
        let order = answer.json();

        let authorization_url = text(&order["authorizations"][0]);
        let authorization = self.post(&authorization_url, vec![]).json();
        let http01 = challenge(&authorization, "http-01");
        let token = text(&http01["token"]);
        responder.answer(&token, &self.account.key().authorization(&token));
        self.post(&text(&http01["url"]), b"{}".to_vec());
        self.until(&authorization_url, "valid");

        let payload = json!({ "csr": base64url(request(&[name]).0) });
        let mut order =
            self.post(&text(&order["finalize"]), payload.to_string().into_bytes()).json();
        if order["status"] != "valid" {
            order = self.until(&order_url, "valid");
        }
        self.post(&text(&order["certificate"]), vec![]);
    }

    fn until(&mut self, url: &str, status: &str) -> Value {
        loop {
            let state = self.post(url, vec![]).json();
            if state["status"] == status {
                return state;
            }
            assert!(matches!(text(&state["status"]).as_str(), "pending" | "processing"), "{state}");
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// On one core: verifying the signed requests, checking the CSR, signing the certificate.
fn cryptography_per_second() -> f64 {
    let random = SystemRandom::new();
    let message = [b'm'; 600];
    let client = key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let signed = client.sign(&random, &message).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, client.public_key().as_ref());
    let ca = key(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let csr = request(&["a.bench.example.com"]).0;
    let micros = measure::micros_per_call(Duration::from_secs(1), || {
        for _ in 0..SIGNED_REQUESTS {
            public.verify(&message, signed.as_ref()).unwrap();
        }
        CertificateRequest::from_der(&csr).unwrap();
        ca.sign(&random, &message).unwrap();
    });
    1e6 / micros
}

fn key(algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap()
}
