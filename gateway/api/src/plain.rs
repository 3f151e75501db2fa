//! The plain port: what needs no secrecy, since it is public or signed.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Version, header};
use tower::ServiceExt;

use crate::coding::UnknownCoding;
use crate::hosts;
use crate::monitoring::{self, MonitoringSources};
use crate::ocsp::{self};
use crate::url::Segments;
use crate::{PlainSources, Shared};

/// The plain port: CRLs, OCSP, issuer certificates, http-01 answers and health.
pub struct PlainService {
    sources: PlainSources,
    router: Router,
}

impl PlainService {
    /// With what these give.
    pub fn new(sources: PlainSources) -> Self {
        Self { router: router(sources.clone()), sources }
    }

    /// The same with what monitoring asks for, where that has no address of its own.
    #[must_use]
    pub fn with_monitoring(mut self, sources: MonitoringSources) -> Self {
        self.router = self.router.merge(monitoring::router(sources));
        self
    }

    /// Answers a request.
    pub async fn call(&self, request: Request<Body>) -> Response {
        if let Some(refused) = refused(&request) {
            return refused;
        }
        if let Some(ready) = ocsp::quick(&self.sources, request.method(), request.uri().path()) {
            return ready;
        }
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(impossible) => match impossible {},
        }
    }
}

/// The answer to a request that does not name one host (RFC 9112 §3.2), or whose body may be something else than it
/// looks like. Any host will do: what is here is the same under every name.
fn refused(request: &Request<Body>) -> Option<Response> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    // What a client without a name for the gateway sends.
    let is_empty = hosts.next().is_some_and(HeaderValue::is_empty) && hosts.next().is_none();
    let named = hosts::authority(request);
    if let (Err(unclear), false, true) = (named, is_empty, request.version() >= Version::HTTP_11) {
        let (status, detail) = unclear.answer(request.version());
        return Some((status, detail).into_response());
    }
    let unknown = UnknownCoding::of(request.headers())?;
    Some(unknown.finish(unknown.answer().into_response()))
}

fn router(sources: PlainSources) -> Router {
    Router::new()
        .route("/health", get(own_health))
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

async fn own_health(State(sources): State<PlainSources>) -> Response {
    (sources.serving)().answer()
}

/// RFC 5280 §4.2.1.13 and RFC 2585 §4.2: a DER CRL under `application/pkix-crl`.
async fn crl(State(sources): State<PlainSources>, Segments(file): Segments<String>) -> Response {
    let found = file.strip_suffix(".crl").and_then(|id| (sources.crl)(id));
    public_file(found, "application/pkix-crl", "public, max-age=300")
}

/// RFC 5280 §4.2.2.1 and RFC 2585 §4.1: a DER certificate under `application/pkix-cert`.
async fn issuer(State(sources): State<PlainSources>, Segments(file): Segments<String>) -> Response {
    let found = file.strip_suffix(".der").and_then(|id| (sources.issuer)(id));
    public_file(found, "application/pkix-cert", "public, max-age=86400")
}

/// What hosts and users are told to trust.
async fn ssh_ca(State(sources): State<PlainSources>, Segments(file): Segments<String>) -> Response {
    let found = file.strip_suffix(".pub").and_then(|name| (sources.ssh_ca)(name));
    public_file(found.map(Bytes::from), "text/plain", "public, max-age=86400")
}

async fn challenge_response(
    State(sources): State<PlainSources>,
    Segments(token): Segments<String>,
) -> Response {
    let found = (sources.challenge_response)(&token).map(Bytes::from);
    public_file(found, "application/octet-stream", "no-store")
}

fn public_file(found: Option<Bytes>, content_type: &'static str, cache: &'static str) -> Response {
    match found {
        Some(body) => {
            let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache)];
            let mut response = (headers, body).into_response();
            response.extensions_mut().insert(Shared);
            response
        }
        None => (StatusCode::NOT_FOUND, "there is no such file here\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serving::Serving;
    use axum::body::to_bytes;

    fn service(ready: bool) -> PlainService {
        PlainService::new(PlainSources {
            crl: Arc::new(|id| (id == "a1").then(|| Bytes::from_static(b"crl"))),
            issuer: Arc::new(|id| (id == "a1").then(|| Bytes::from_static(b"issuer"))),
            challenge_response: Arc::new(|token| (token == "t").then(|| "t.thumb".to_owned())),
            ssh_ca: Arc::new(|name| (name == "user-ca").then(|| "ssh-ed25519 A".to_owned())),
            serving: Arc::new(move || if ready { Serving::All } else { Serving::Draining }),
            ocsp: Arc::new(|_, _| None),
        })
    }

    async fn fetch(path: &str, ready: bool) -> (StatusCode, Option<String>, Vec<u8>) {
        let request = Request::get(path).header("host", "any.example");
        let request = request.body(Body::empty()).unwrap();
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
    async fn a_request_names_one_host_and_its_body_is_what_it_looks_like() {
        let named = [("host", "any.example")];
        let of = async |headers: &[(&str, &str)], version| {
            let request = Request::get("/health").version(version);
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            service(true).call(request.body(Body::empty()).unwrap()).await.status().as_u16()
        };
        assert_eq!(of(&named, Version::HTTP_11).await, 200);
        assert_eq!(of(&[], Version::HTTP_10).await, 200);
        assert_eq!(of(&[("host", "")], Version::HTTP_11).await, 200);
        for wrong in [&[][..], &[("host", "a b")], &[("host", "u@x")], &[named[0], named[0]]] {
            assert_eq!(of(wrong, Version::HTTP_11).await, 400, "{wrong:?}");
        }
        let coded = [named[0], ("transfer-encoding", "gzip, chunked")];
        assert_eq!(of(&coded, Version::HTTP_11).await, 501);
        assert_eq!(of(&[named[0], ("content-encoding", "gzip")], Version::HTTP_11).await, 415);
    }

    #[tokio::test]
    async fn health_tells_draining_from_ready() {
        assert_eq!(fetch("/health", true).await.0, StatusCode::OK);
        assert_eq!(fetch("/health", false).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn monitoring_is_here_only_where_that_is_asked_for() {
        let status = async |service: PlainService, path: &str| {
            let request = Request::get(path).header("host", "a").body(Body::empty()).unwrap();
            service.call(request).await.status()
        };
        for path in ["/metrics", "/health/tokens"] {
            assert_eq!(status(service(true), path).await, StatusCode::NOT_FOUND, "{path}");
            let with = service(true).with_monitoring(monitoring::tests::sources(true));
            assert_eq!(status(with, path).await, StatusCode::OK, "{path}");
        }
    }

    #[tokio::test]
    async fn answers_challenges_of_upstream_cas() {
        assert_eq!(fetch("/.well-known/acme-challenge/t", true).await.2, b"t.thumb");
        assert_eq!(fetch("/.well-known/acme-challenge/u", true).await.0, StatusCode::NOT_FOUND);
    }
}
