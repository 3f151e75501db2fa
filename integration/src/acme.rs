//! A small ACME client (RFC 8555) whose every request can be spoilt before it is sent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Client, Response};
use crate::jws::{Jws, Key, base64url};
use crate::process;
use crate::responder::Http01;

/// The media type of ACME requests (RFC 8555, section 6.2).
pub const MEDIA_TYPE: &str = "application/jose+json";

/// No state of an order lasts longer in these tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// An account at a gateway.
#[derive(Debug)]
pub struct Account {
    client: Client,
    directory: Value,
    key: Key,
    /// The URL of the account, which names the key in later requests.
    pub url: String,
}

impl Account {
    /// Registers an account with a new key.
    #[track_caller]
    #[must_use]
    pub fn register(client: Client, directory: &str) -> Self {
        Self::register_with(client, directory, Key::generate())
    }

    /// Registers an account with this key, or finds the account that has it.
    #[track_caller]
    #[must_use]
    pub fn register_with(client: Client, directory: &str, key: Key) -> Self {
        let directory = client.get(&http::target(directory)).expect(200).json();
        let mut account = Self { client, directory, key, url: String::new() };
        let url = account.resource("newAccount");
        let jws = account.jws_with_key(&url, &json!({ "termsOfServiceAgreed": true }));
        let answer = account.send(&url, &jws.sign(&account.key));
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.header("location").expect("an account has a URL").clone_into(&mut account.url);
        account
    }

    /// The same account at a gateway that was started again, perhaps at another port.
    #[track_caller]
    #[must_use]
    pub fn at(self, client: Client, directory: &str) -> Self {
        Self::register_with(client, directory, self.key)
    }

    /// The key of the account.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The client that carries its requests.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The URL of a resource in the directory, such as `newOrder`.
    #[track_caller]
    #[must_use]
    pub fn resource(&self, name: &str) -> String {
        self.directory[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.directory))
            .to_owned()
    }

    /// A fresh nonce.
    #[track_caller]
    #[must_use]
    pub fn nonce(&self) -> String {
        let answer = self.client.send("HEAD", &http::target(&self.resource("newNonce")), &[], b"");
        answer.header("replay-nonce").expect("newNonce gives a nonce").to_owned()
    }

    /// A request that names the account, not signed yet.
    #[track_caller]
    #[must_use]
    pub fn jws(&self, url: &str, payload: &Value) -> Jws {
        Jws {
            protected: json!({ "alg": "ES256", "kid": self.url, "nonce": self.nonce(), "url": url }),
            payload: payload.to_string().into_bytes(),
        }
    }

    /// A request that brings its key, not signed yet.
    #[track_caller]
    #[must_use]
    pub fn jws_with_key(&self, url: &str, payload: &Value) -> Jws {
        Jws {
            protected: json!({ "alg": "ES256", "jwk": self.key.jwk(), "nonce": self.nonce(), "url": url }),
            payload: payload.to_string().into_bytes(),
        }
    }

    /// Sends what was signed.
    #[track_caller]
    pub fn send(&self, url: &str, jws: &Value) -> Response {
        self.send_bytes(url, jws.to_string().as_bytes())
    }

    /// Sends bytes as if they were a request.
    #[track_caller]
    pub fn send_bytes(&self, url: &str, body: &[u8]) -> Response {
        self.client.send("POST", &http::target(url), &[("content-type", MEDIA_TYPE)], body)
    }

    /// Signs a payload and sends it.
    #[track_caller]
    pub fn post(&self, url: &str, payload: &Value) -> Response {
        self.send(url, &self.jws(url, payload).sign(&self.key))
    }

    /// POST-as-GET (RFC 8555, section 6.3).
    #[track_caller]
    pub fn get(&self, url: &str) -> Response {
        let jws = Jws { payload: Vec::new(), ..self.jws(url, &Value::Null) };
        self.send(url, &jws.sign(&self.key))
    }

    /// A new order for DNS names.
    #[track_caller]
    #[must_use]
    pub fn order(&self, names: &[&str]) -> Order {
        let answer = self.try_order(names, json!({})).expect(201);
        let url = answer.header("location").expect("an order has a URL").to_owned();
        Order { url, body: answer.json() }
    }

    /// Asks for a new order, with further members in the payload.
    #[track_caller]
    pub fn try_order(&self, names: &[&str], mut payload: Value) -> Response {
        payload["identifiers"] =
            names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
        self.post(&self.resource("newOrder"), &payload)
    }

    /// A new order with this payload.
    #[track_caller]
    #[must_use]
    pub fn new_order(&self, payload: &Value) -> Order {
        let answer = self.post(&self.resource("newOrder"), payload).expect(201);
        let url = answer.header("location").expect("an order has a URL").to_owned();
        Order { url, body: answer.json() }
    }

    /// The state of an order now.
    #[track_caller]
    #[must_use]
    pub fn refresh(&self, order: &Order) -> Order {
        Order { url: order.url.clone(), body: self.get(&order.url).expect(200).json() }
    }

    /// Proves by http-01 every name of an order that is not proved yet.
    #[track_caller]
    pub fn prove(&self, order: &Order, responder: &Http01) {
        for authorization in order.authorizations() {
            self.prove_one(&authorization, responder);
        }
    }

    /// Proves by http-01 the name of one authorization.
    #[track_caller]
    pub fn prove_one(&self, authorization: &str, responder: &Http01) {
        let body = self.get(authorization).expect(200).json();
        if body["status"] == "valid" {
            return;
        }
        let challenge = challenge(&body, "http-01");
        let token = challenge["token"].as_str().expect("a challenge has a token");
        responder.answer(token, &self.key.authorization(token));
        drop(
            self.post(challenge["url"].as_str().expect("a challenge has a URL"), &json!({}))
                .expect(200),
        );
        process::eventually("the authorization becomes valid", PATIENCE, || {
            let body = self.get(authorization).expect(200).json();
            assert_ne!(body["status"], "invalid", "{body}");
            (body["status"] == "valid").then_some(())
        });
    }

    /// Finalizes an order with a request (PKCS#10, DER).
    #[track_caller]
    pub fn finalize(&self, order: &Order, request: &[u8]) -> Response {
        self.post(&order.finalize(), &json!({ "csr": base64url(request) }))
    }

    /// Waits until an order has reached a state; fails when it becomes invalid instead.
    #[track_caller]
    #[must_use]
    pub fn until(&self, order: &Order, status: &str) -> Order {
        process::eventually(&format!("the order becomes {status}"), PATIENCE, || {
            let order = self.refresh(order);
            assert!(order.status() != "invalid" || status == "invalid", "{}", order.body);
            (order.status() == status).then_some(order)
        })
    }

    /// The certificate of a valid order, with its chain, as PEM.
    #[track_caller]
    #[must_use]
    pub fn certificate(&self, order: &Order) -> String {
        let order = self.until(order, "valid");
        let url = order.body["certificate"].as_str().expect("a valid order has a certificate");
        self.get(url).expect(200).text()
    }

    /// The whole way: an order, its proofs by http-01, a request with the names, the certificate.
    /// Returns the chain and the key, as PEM.
    #[track_caller]
    #[must_use]
    pub fn obtain(&self, names: &[&str], responder: &Http01) -> (String, String) {
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        (self.obtain_for(&key, names, responder), key.serialize_pem())
    }

    /// The same for a key that there is already. Returns the chain.
    #[track_caller]
    #[must_use]
    pub fn obtain_for(&self, key: &rcgen::KeyPair, names: &[&str], responder: &Http01) -> String {
        let order = self.order(names);
        self.prove(&order, responder);
        let order = self.until(&order, "ready");
        drop(self.finalize(&order, &request_for(key, names)).expect(200));
        self.certificate(&order)
    }
}

/// An order as the gateway showed it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its URL.
    pub url: String,
    /// The order itself (RFC 8555, section 7.1.3).
    pub body: Value,
}

impl Order {
    /// Its state.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> &str {
        self.body["status"].as_str().expect("an order has a status")
    }

    /// The URLs of its authorizations.
    #[track_caller]
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        let urls = self.body["authorizations"].as_array().expect("an order has authorizations");
        urls.iter().map(|url| url.as_str().expect("a URL").to_owned()).collect()
    }

    /// Its finalize URL.
    #[track_caller]
    #[must_use]
    pub fn finalize(&self) -> String {
        self.body["finalize"].as_str().expect("an order has a finalize URL").to_owned()
    }
}

/// The challenge of a type in an authorization.
#[track_caller]
#[must_use]
pub fn challenge(authorization: &Value, kind: &str) -> Value {
    let challenges =
        authorization["challenges"].as_array().expect("an authorization has challenges");
    let found = challenges.iter().find(|challenge| challenge["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {authorization}")).clone()
}

/// A certificate request (PKCS#10, DER) for DNS names, with a new P-256 key.
#[must_use]
pub fn request(names: &[&str]) -> (Vec<u8>, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    (request_for(&key, names), key)
}

/// The same with a key that there is already.
#[must_use]
pub fn request_for(key: &rcgen::KeyPair, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = rcgen::CertificateParams::new(names).expect("DNS names");
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let request = parameters.serialize_request(key).expect("a request can be made");
    request.der().to_vec()
}

/// Fails unless an answer is a problem document (RFC 7807) of an ACME type, such as `badNonce`, with
/// its detail and a fresh nonce.
#[track_caller]
pub fn assert_problem(answer: &Response, status: u16, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{}",
        answer.text()
    );
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:ietf:params:acme:error:{kind}"), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}
