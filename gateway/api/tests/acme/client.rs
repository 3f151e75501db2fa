use std::convert::Infallible;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::body::Body;
use chancery_acme::jws::base64url;
use futures_util::stream;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

/// Where the client believes the server to be.
pub(crate) const BASE: &str = "https://acme.test:8443";

/// A key that signs requests.
pub(crate) enum SigningKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// An ACME client that keeps to the rules unless it is told not to.
pub(crate) struct Client {
    router: Router,
    pub(crate) key: SigningKey,
    pub(crate) account: Option<String>,
    pub(crate) nonce: Option<String>,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl SigningKey {
    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Rsa(_) => "RS256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let ec = |curve: &str, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            let (x, y) = (base64url::encode(x), base64url::encode(y));
            json!({"crv": curve, "kty": "EC", "x": x, "y": y})
        };
        match self {
            Self::P256(key) => ec("P-256", key.public_key().as_ref()),
            Self::P384(key) => ec("P-384", key.public_key().as_ref()),
            Self::Rsa(key) => {
                let n =
                    base64url::encode(key.public_key().modulus().big_endian_without_leading_zero());
                let e = base64url::encode(
                    key.public_key().exponent().big_endian_without_leading_zero(),
                );
                json!({"e": e, "kty": "RSA", "n": n})
            }
            Self::Ed25519(key) => {
                let x = base64url::encode(key.public_key().as_ref());
                json!({"crv": "Ed25519", "kty": "OKP", "x": x})
            }
        }
    }

    /// RFC 7638: the members above are sorted and nothing else is in them.
    pub(crate) fn thumbprint(&self) -> String {
        base64url::encode(digest(&SHA256, self.jwk().to_string().as_bytes()))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, message).unwrap().as_ref().into()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().into(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A flattened JWS.
    pub(crate) fn jws(&self, protected: &Value, payload: &str) -> Value {
        let protected = base64url::encode(protected.to_string());
        let payload = base64url::encode(payload);
        let signature = self.sign(format!("{protected}.{payload}").as_bytes());
        json!({
            "protected": protected, "payload": payload, "signature": base64url::encode(signature),
        })
    }
}

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        Self::with_key(router, SigningKey::p256())
    }

    pub(crate) fn with_key(router: Router, key: SigningKey) -> Self {
        Self { router, key, account: None, nonce: None }
    }

    /// The same client after the server was restarted.
    pub(crate) fn reconnect(&mut self, router: Router) {
        self.router = router;
        self.nonce = None;
    }

    /// Makes the account.
    pub(crate) async fn register(&mut self) {
        let url = url("new-account");
        let answer = self.post(&url, &json!({"termsOfServiceAgreed": true})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        self.account = Some(answer.header("location").to_owned());
    }

    /// A POST with a JSON payload.
    pub(crate) async fn post(&mut self, url: &str, payload: &Value) -> Answer {
        self.post_text(url, &payload.to_string()).await
    }

    /// A POST-as-GET.
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.post_text(url, "").await
    }

    pub(crate) async fn post_text(&mut self, url: &str, payload: &str) -> Answer {
        let header = self.header(url).await;
        let body = self.key.jws(&header, payload);
        self.send(url, &body.to_string()).await
    }

    /// The protected header of a request to `url`, as it should be.
    pub(crate) async fn header(&mut self, url: &str) -> Value {
        let nonce = if let Some(nonce) = self.nonce.take() {
            nonce
        } else {
            let answer = plain(&self.router, Method::HEAD, "/acme/new-nonce").await;
            answer.header("replay-nonce").to_owned()
        };
        let mut header = json!({"alg": self.key.algorithm(), "nonce": nonce, "url": url});
        match &self.account {
            Some(account) => header["kid"] = json!(account),
            None => header["jwk"] = self.key.jwk(),
        }
        header
    }

    /// Sends this body, whatever it is, and keeps the nonce that comes back.
    pub(crate) async fn send(&mut self, url: &str, body: &str) -> Answer {
        self.send_as(url, body, "application/jose+json").await
    }

    pub(crate) async fn send_as(&mut self, url: &str, body: &str, content_type: &str) -> Answer {
        let request = request(url, content_type, Body::from(body.to_owned()));
        let answer = exchange(&self.router, request).await;
        self.nonce = Some(answer.header("replay-nonce").to_owned());
        answer
    }

    /// Sends the headers of a POST, does something once the server waits for the body, then sends that.
    pub(crate) async fn post_parked(
        &mut self,
        url: &str,
        payload: &Value,
        meanwhile: impl FnOnce(),
    ) -> Answer {
        let header = self.header(url).await;
        let body = self.key.jws(&header, &payload.to_string()).to_string();
        let (begun, waits) = oneshot::channel();
        let (send, sent) = oneshot::channel::<String>();
        let late = Body::from_stream(stream::once(async move {
            begun.send(()).unwrap();
            Ok::<_, Infallible>(sent.await.unwrap())
        }));
        let request = request(url, "application/jose+json", late);
        let router = self.router.clone();
        let answer = tokio::spawn(async move { exchange(&router, request).await });
        waits.await.expect("the headers alone are not refused");
        meanwhile();
        send.send(body).unwrap();
        answer.await.unwrap()
    }
}

fn request(url: &str, content_type: &str, body: Body) -> Request<Body> {
    Request::post(url.strip_prefix(BASE).unwrap_or(url))
        .header("host", BASE.trim_start_matches("https://"))
        .header("content-type", content_type)
        .body(body)
        .unwrap()
}

/// An unsigned request.
pub(crate) async fn plain(router: &Router, method: Method, path: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", BASE.trim_start_matches("https://"))
        .body(Body::empty())
        .unwrap();
    exchange(router, request).await
}

pub(crate) async fn exchange(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?} {}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The last part of a problem's type, with its status. Looks at what every problem must have.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        let json = self.json();
        let kind = json["type"].as_str().unwrap_or_else(|| panic!("no type: {text}"));
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:");
        assert!(!json["detail"].as_str().unwrap_or_default().is_empty(), "no detail: {text}");
        assert_eq!(json["status"], self.status.as_u16(), "{text}");
        (self.status.as_u16(), kind.unwrap_or_else(|| panic!("foreign type: {text}")).to_owned())
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.problem(), (status, kind.to_owned()), "{text}");
    }
}

/// The URL of a resource that the directory names.
pub(crate) fn url(resource: &str) -> String {
    format!("{BASE}/acme/{resource}")
}
