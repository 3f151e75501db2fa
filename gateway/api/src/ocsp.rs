//! OCSP over HTTP (RFC 6960 appendix A, RFC 5019 §5): `POST` with the request as its body, `GET` with it in
//! the path, so that caches can answer.

use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use percent_encoding::percent_decode_str;

use crate::url::Segments;
use crate::{BodyError, OcspOutcome, OcspReply, PlainSources, Reusable};

/// The largest request, in bytes. One about a single certificate has about a hundred.
pub(crate) const LARGEST_REQUEST: usize = 4096;

pub(crate) async fn post(
    State(sources): State<PlainSources>,
    Segments(issuer): Segments<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/ocsp-request") {
        let wanted = "send an OCSP request as application/ocsp-request\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted).into_response();
    }
    match body {
        Ok(request) => answer(&sources, &issuer, request).await,
        Err(rejection) => broken_off(rejection),
    }
}

fn broken_off(rejection: BytesRejection) -> Response {
    if let Some(error) = BodyError::behind(&rejection) {
        return (error.status(), format!("{error}\n")).into_response();
    }
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("an OCSP request has {LARGEST_REQUEST} bytes at most\n");
            (StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
        }
        status => (status, "the OCSP request could not be read\n").into_response(),
    }
}

pub(crate) async fn get(
    State(sources): State<PlainSources>,
    Segments((issuer, encoded)): Segments<(String, String)>,
) -> Response {
    match decoded(&encoded) {
        Some(request) => answer(&sources, &issuer, request.into()).await,
        None => {
            (StatusCode::BAD_REQUEST, "the path has no OCSP request in base64\n").into_response()
        }
    }
}

/// The same as [`get`] for a path as it came and an answer that is there: what nearly all requests are, so
/// that they are spared the way through the router. None leaves a request to that.
pub(crate) fn quick(sources: &PlainSources, method: &Method, path: &str) -> Option<Response> {
    let (issuer, encoded) = path.strip_prefix("/ocsp/")?.split_once('/')?;
    if method != Method::GET {
        return None;
    }
    let encoded = percent_decode_str(encoded).decode_utf8().ok()?;
    match (sources.ocsp)(issuer, decoded(&encoded)?.into())? {
        OcspOutcome::Ready(reply) => Some(response(reply)),
        OcspOutcome::Pending(_) => None,
    }
}

/// A request in base64. Some clients write it for URLs, some leave the padding out.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let decoded = STANDARD_LAX.decode(text).or_else(|_| URL_SAFE_LAX.decode(text)).ok()?;
    (decoded.len() <= LARGEST_REQUEST).then_some(decoded)
}

const LAX: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
const STANDARD_LAX: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LAX);
const URL_SAFE_LAX: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LAX);

async fn answer(sources: &PlainSources, issuer: &str, request: Bytes) -> Response {
    match (sources.ocsp)(issuer, request) {
        Some(OcspOutcome::Ready(reply)) => response(reply),
        Some(OcspOutcome::Pending(answer)) => response(answer.await),
        None => {
            (StatusCode::NOT_FOUND, "there is no responder for this issuer here\n").into_response()
        }
    }
}

fn response(OcspReply { der, reusable }: OcspReply) -> Response {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/ocsp-response"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(Reusable { from, until, seconds }) = reusable {
        // RFC 5019 §6.2: the headers tell caches what the answer says itself.
        let cache = format!("max-age={seconds}, public, no-transform, must-revalidate");
        let tag = der.rchunks(20).next().unwrap_or_default();
        for (name, value) in [
            (header::CACHE_CONTROL, Some(cache)),
            (header::LAST_MODIFIED, date(from)),
            (header::EXPIRES, date(until)),
            (header::ETAG, Some(format!("\"{}\"", hex::encode(tag)))),
        ] {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
    }
    let mut response = Response::new(Body::from(der));
    *response.headers_mut() = headers;
    response
}

/// RFC 9110 §5.6.7.
fn date(moment: Timestamp) -> Option<String> {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::to_bytes;
    use http::Request;

    use super::*;
    use crate::PlainService;

    /// Answers with the request itself; only `once` may not be given to others.
    fn service(ready: bool) -> PlainService {
        PlainService::new(PlainSources {
            ssh_ca: Arc::new(|_| None),
            crl: Arc::new(|_| None),
            issuer: Arc::new(|_| None),
            challenge_response: Arc::new(|_| None),
            serving: Arc::new(|| crate::Serving::All),
            ocsp: Arc::new(move |issuer, request| {
                let from = Timestamp::from_second(1_000_000_000).ok()?;
                let until = Timestamp::from_second(1_000_003_600).ok()?;
                let reusable =
                    (request != "once").then_some(Reusable { from, until, seconds: 1800 });
                let reply = OcspReply { der: request, reusable };
                (issuer == "a1").then(|| {
                    if ready {
                        return OcspOutcome::Ready(reply);
                    }
                    OcspOutcome::Pending(Box::pin(async { reply }))
                })
            }),
        })
    }

    async fn fetch(request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
        fetch_from(false, request).await
    }

    async fn fetch_from(ready: bool, request: Request<Body>) -> (StatusCode, HeaderMap, Bytes) {
        let (parts, body) = service(ready).call(request).await.into_parts();
        (parts.status, parts.headers, to_bytes(body, 8192).await.unwrap())
    }

    fn post(kind: &str, body: impl Into<Body>) -> Request<Body> {
        let request = Request::post("/ocsp/a1").header("host", "a");
        request.header("content-type", kind).body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn answers_posts_and_gets_alike() {
        let (status, mut headers, body) =
            fetch(post("application/ocsp-request", "\u{3ff}?>")).await;
        assert_eq!((status, &*body), (StatusCode::OK, "\u{3ff}?>".as_bytes()));
        assert_eq!(headers["content-type"], "application/ocsp-response");
        // With a slash and a plus in it; for URLs; without padding; and percent-encoded.
        for path in ["z78/Pg==", "z78_Pg==", "z78/Pg", "z78%2FPg%3D%3D"] {
            for ready in [true, false] {
                let get = Request::get(format!("/ocsp/a1/{path}")).header("host", "a");
                let get = get.body(Body::empty()).unwrap();
                let (status, mut found, answer) = fetch_from(ready, get).await;
                // What is still missing of these the HTTP library adds.
                for headers in [&mut headers, &mut found] {
                    headers.remove("content-length");
                }
                assert_eq!((status, &answer, &found), (StatusCode::OK, &body, &headers), "{path}");
            }
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
            let request = Request::get(path).header("host", "a").body(Body::empty()).unwrap();
            assert_eq!(status(request).await, expected, "{path}");
        }
    }
}
