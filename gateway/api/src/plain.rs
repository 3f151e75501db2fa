use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde::Serialize;
use tower::ServiceExt;

use crate::ocsp::{self, OcspOutcome};

/// Finds something public by its id.
type Lookup<T> = Arc<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// Answers requests about the issuer with an id.
type Responder = dyn Fn(&str, Bytes) -> Option<OcspOutcome> + Send + Sync;

/// Where the plain port gets what it serves. Closures, because the rooms that know (the CA, the
/// upstreams, the metrics recorder) are not this room's to import.
#[derive(Clone)]
pub struct PlainSources {
    /// The current CRL (DER) of the issuer with this id.
    pub crl: Lookup<Bytes>,
    /// The certificate (DER) of the issuer with this id.
    pub issuer: Lookup<Bytes>,
    /// The answer to an upstream CA's http-01 challenge with this token (RFC 8555 §8.3).
    pub challenge_response: Lookup<String>,
    /// The public key of the CA for SSH, `user-ca` or `host-ca`, as one line.
    pub ssh_ca: Lookup<String>,
    /// All metrics in the Prometheus text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether requests are being served (and not drained).
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Answers an OCSP request (DER) about the issuer with this id; none if there is no responder for it.
    pub ocsp: Arc<Responder>,
    /// How the HSM's tokens are; none without an HSM.
    pub tokens: Arc<dyn Fn() -> Vec<TokenHealth> + Send + Sync>,
}

/// How a token of the HSM is. Why it is down stands in the log: this port is everybody's.
#[derive(Debug, Clone, Serialize)]
pub struct TokenHealth {
    /// Its label or serial number, as configured.
    pub token: String,
    /// Whether it can be used.
    pub up: bool,
    /// Whether an administrator has taken it out of use.
    pub drained: bool,
    /// How many keys it holds that can be used by name.
    pub keys: usize,
    /// Operations that are under way or wait.
    pub outstanding: usize,
}

/// The plain port: CRLs, OCSP, issuer certificates, http-01 answers, health and metrics.
pub struct PlainService {
    sources: PlainSources,
    router: Router,
}

impl PlainService {
    /// With what these give.
    pub fn new(sources: PlainSources) -> Self {
        Self { router: router(sources.clone()), sources }
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>) -> Response {
        if let Some(ready) = ocsp::quick(&self.sources, request.method(), request.uri().path()) {
            return ready;
        }
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

fn router(sources: PlainSources) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/tokens", get(tokens))
        .route("/metrics", get(metrics))
        .route("/crl/{file}", get(crl))
        .route("/issuers/{file}", get(issuer))
        .route("/ssh/{file}", get(ssh_ca))
        .route(
            "/ocsp/{issuer}",
            post(ocsp::post).layer(DefaultBodyLimit::max(ocsp::LARGEST_REQUEST)),
        )
        .route("/ocsp/{issuer}/{*request}", get(ocsp::get))
        .route("/.well-known/acme-challenge/{token}", get(challenge_response))
        .with_state(sources)
}

async fn health(State(sources): State<PlainSources>) -> Response {
    let (status, word) = if (sources.ready)() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    };
    (status, [(header::CACHE_CONTROL, "no-store")], word).into_response()
}

/// How each token of the HSM is: 200 if one of them can be used or there is no HSM, else 503.
async fn tokens(State(sources): State<PlainSources>) -> Response {
    let tokens = (sources.tokens)();
    let usable = tokens.is_empty() || tokens.iter().any(|token| token.up && !token.drained);
    let status = if usable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = axum::Json(serde_json::json!({ "tokens": tokens }));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

async fn metrics(State(sources): State<PlainSources>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], (sources.metrics)()).into_response()
}

/// RFC 5280 §4.2.1.13 and RFC 2585 §4.2: a DER CRL under `application/pkix-crl`.
async fn crl(State(sources): State<PlainSources>, Path(file): Path<String>) -> Response {
    let found = file.strip_suffix(".crl").and_then(|id| (sources.crl)(id));
    public_file(found, "application/pkix-crl", "public, max-age=300")
}

/// RFC 5280 §4.2.2.1 and RFC 2585 §4.1: a DER certificate under `application/pkix-cert`.
async fn issuer(State(sources): State<PlainSources>, Path(file): Path<String>) -> Response {
    let found = file.strip_suffix(".der").and_then(|id| (sources.issuer)(id));
    public_file(found, "application/pkix-cert", "public, max-age=86400")
}

/// What hosts and users are told to trust.
async fn ssh_ca(State(sources): State<PlainSources>, Path(file): Path<String>) -> Response {
    let found = file.strip_suffix(".pub").and_then(|name| (sources.ssh_ca)(name));
    public_file(found.map(Bytes::from), "text/plain", "public, max-age=86400")
}

async fn challenge_response(
    State(sources): State<PlainSources>,
    Path(token): Path<String>,
) -> Response {
    let found = (sources.challenge_response)(&token).map(Bytes::from);
    public_file(found, "application/octet-stream", "no-store")
}

fn public_file(found: Option<Bytes>, content_type: &'static str, cache: &'static str) -> Response {
    match found {
        Some(body) => {
            ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache)], body)
                .into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file here\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    fn service(ready: bool) -> PlainService {
        PlainService::new(PlainSources {
            crl: Arc::new(|id| (id == "a1").then(|| Bytes::from_static(b"crl"))),
            issuer: Arc::new(|id| (id == "a1").then(|| Bytes::from_static(b"issuer"))),
            challenge_response: Arc::new(|token| (token == "t").then(|| "t.thumb".to_owned())),
            ssh_ca: Arc::new(|name| (name == "user-ca").then(|| "ssh-ed25519 A".to_owned())),
            metrics: Arc::new(|| "chancery_up 1\n".to_owned()),
            ready: Arc::new(move || ready),
            ocsp: Arc::new(|_, _| None),
            tokens: Arc::new(move || {
                let token = |token: &str, up| TokenHealth {
                    token: token.to_owned(),
                    up,
                    drained: false,
                    keys: 1,
                    outstanding: 0,
                };
                vec![token("a", false), token("b", ready)]
            }),
        })
    }

    async fn fetch(path: &str, ready: bool) -> (StatusCode, Option<String>, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = service(ready).call(request).await;
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap().to_owned());
        let status = response.status();
        (status, content_type, to_bytes(response.into_body(), 1024).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn serves_crl_and_issuer_by_id_with_the_registered_media_types() {
        let (status, kind, body) = fetch("/crl/a1.crl", true).await;
        assert_eq!(
            (status, kind.as_deref(), &*body),
            (StatusCode::OK, Some("application/pkix-crl"), &b"crl"[..])
        );
        let (status, kind, body) = fetch("/issuers/a1.der", true).await;
        assert_eq!(
            (status, kind.as_deref(), &*body),
            (StatusCode::OK, Some("application/pkix-cert"), &b"issuer"[..])
        );
        for path in ["/crl/a1", "/crl/b.crl", "/issuers/a1.crl", "/crl/..%2fa1.crl", "/elsewhere"] {
            assert_eq!(fetch(path, true).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn health_tells_draining_from_ready() {
        assert_eq!(fetch("/health", true).await.0, StatusCode::OK);
        assert_eq!(fetch("/health", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn health_of_tokens_is_bad_if_none_can_be_used() {
        let (status, _, body) = fetch("/health/tokens", true).await;
        assert_eq!(status, StatusCode::OK);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["tokens"][0]["up"], false);
        assert_eq!(body["tokens"][1]["token"], "b");
        let (status, ..) = fetch("/health/tokens", false).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn answers_challenges_of_upstream_cas() {
        assert_eq!(fetch("/.well-known/acme-challenge/t", true).await.2, b"t.thumb");
        assert_eq!(fetch("/.well-known/acme-challenge/u", true).await.0, StatusCode::NOT_FOUND);
    }
}
