//! OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5): `POST` with the request as its body, `GET` with it in
//! the path, so that caches can answer.

use std::fmt::Write as _;
use std::pin::Pin;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::PlainSources;

/// The largest request, in bytes. One about a single certificate has about a hundred.
pub(crate) const LARGEST_REQUEST: usize = 4096;

/// An answer on its way.
pub type OcspFuture = Pin<Box<dyn Future<Output = OcspReply> + Send>>;

/// An answer to an OCSP request.
#[derive(Debug, Clone)]
pub struct OcspReply {
    /// The response, DER.
    pub der: Bytes,
    /// For how long others who ask the same may be given it; none if they may not.
    pub reusable: Option<Reusable>,
}

/// The time of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Reusable {
    /// When it was made.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How many seconds are left.
    pub seconds: u64,
}

pub(crate) async fn post(
    State(sources): State<PlainSources>,
    Path(issuer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/ocsp-request") {
        let wanted = "send an OCSP request as application/ocsp-request\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted).into_response();
    }
    answer(&sources, &issuer, body).await
}

pub(crate) async fn get(
    State(sources): State<PlainSources>,
    Path((issuer, encoded)): Path<(String, String)>,
) -> Response {
    // Some clients write the base64 for URLs, some leave the padding out.
    let padded = |text: &str| {
        let mut text = text.trim_end_matches('=').to_owned();
        text.extend(std::iter::repeat_n('=', (4 - text.len() % 4) % 4));
        text
    };
    let text = padded(&encoded);
    match STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)) {
        Ok(request) if request.len() <= LARGEST_REQUEST => {
            answer(&sources, &issuer, request.into()).await
        }
        _ => (StatusCode::BAD_REQUEST, "the path has no OCSP request in base64\n").into_response(),
    }
}

async fn answer(sources: &PlainSources, issuer: &str, request: Bytes) -> Response {
    let Some(answer) = (sources.ocsp)(issuer, request) else {
        return (StatusCode::NOT_FOUND, "there is no responder for this issuer here\n")
            .into_response();
    };
    let OcspReply { der, reusable } = answer.await;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/ocsp-response"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Reusable { from, until, seconds }) = reusable {
        // RFC 5019 §6.2: the headers tell caches what the answer says itself.
        let cache = format!("max-age={seconds}, public, no-transform, must-revalidate");
        let tag = der.rchunks(20).next().unwrap_or_default();
        let tag = tag.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        for (name, value) in [
            (header::CACHE_CONTROL, Some(cache)),
            (header::LAST_MODIFIED, date(from)),
            (header::EXPIRES, date(until)),
            (header::ETAG, Some(format!("\"{tag}\""))),
        ] {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
    }
    (headers, der).into_response()
}

/// RFC 9110 §5.6.7.
fn date(moment: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::plain_router;

    /// Answers with the request itself; only `once` may not be given to others.
    fn router() -> Router {
        plain_router(PlainSources {
            ssh_ca: Arc::new(|_| None),
            crl: Arc::new(|_| None),
            issuer: Arc::new(|_| None),
            challenge_response: Arc::new(|_| None),
            metrics: Arc::new(String::new),
            ready: Arc::new(|| true),
            tokens: Arc::new(Vec::new),
            ocsp: Arc::new(|issuer, request| {
                let from = Timestamp::from_second(1_000_000_000).ok()?;
                let until = Timestamp::from_second(1_000_003_600).ok()?;
                let reusable =
                    (request != "once").then_some(Reusable { from, until, seconds: 1800 });
                let reply = OcspReply { der: request, reusable };
                (issuer == "a1").then(|| Box::pin(async { reply }) as OcspFuture)
            }),
        })
    }

    async fn fetch(request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
        let response = router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, 8192).await.unwrap())
    }

    fn post(kind: &str, body: impl Into<Body>) -> Request<Body> {
        Request::post("/ocsp/a1").header("content-type", kind).body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn answers_posts_and_gets_alike() {
        let (status, headers, body) = fetch(post("application/ocsp-request", "\u{3ff}?>")).await;
        assert_eq!((status, &*body), (StatusCode::OK, "\u{3ff}?>".as_bytes()));
        assert_eq!(headers["content-type"], "application/ocsp-response");
        // With a slash and a plus in it; for URLs; without padding; and percent-encoded.
        for path in ["z78/Pg==", "z78_Pg==", "z78/Pg", "z78%2FPg%3D%3D"] {
            let request = Request::get(format!("/ocsp/a1/{path}")).body(Body::empty()).unwrap();
            assert_eq!(fetch(request).await.2, body, "{path}");
        }
    }

    #[tokio::test]
    async fn caches_are_told_how_long_an_answer_is_good() {
        let (_, headers, _) = fetch(post("application/ocsp-request", "many")).await;
        assert_eq!(headers["cache-control"], "max-age=1800, public, no-transform, must-revalidate");
        assert_eq!(headers["last-modified"], "Sun, 09 Sep 2001 01:46:40 GMT");
        assert_eq!(headers["expires"], "Sun, 09 Sep 2001 02:46:40 GMT");
        assert!(headers.contains_key("etag"));
        let (_, headers, _) = fetch(post("application/ocsp-request", "once")).await;
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("expires"));
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let status = async |request| fetch(request).await.0;
        assert_eq!(status(post("text/plain", "x")).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let large = vec![0; LARGEST_REQUEST + 1];
        let large = post("application/ocsp-request", large);
        assert_eq!(status(large).await, StatusCode::PAYLOAD_TOO_LARGE);
        for (path, expected) in [
            ("/ocsp/a1/*", StatusCode::BAD_REQUEST),
            ("/ocsp/b2/z78", StatusCode::NOT_FOUND),
            ("/ocsp/a1", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(status(request).await, expected, "{path}");
        }
    }
}
