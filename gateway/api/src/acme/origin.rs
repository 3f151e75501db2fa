//! Cross-origin access (RFC 8555 §6.1, WHATWG Fetch §3.2): whether scripts of other origins may use ACME from a
//! browser. Off unless the configuration names origins. It needs no care for who the user is: every request
//! carries its own signature, and credentials are never allowed along.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::AcmeState;

/// Any origin, as in the configuration and on the wire.
const ANY: &str = "*";
/// What scripts need to see beyond what they always may (RFC 8555 §6.1).
const EXPOSED: HeaderValue = HeaderValue::from_static("Link, Location, Replay-Nonce, Retry-After");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Answers preflights, and tells browsers which origins may read the answers to everything else.
pub(super) async fn share(
    State(state): State<AcmeState>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = &state.acme.config().allowed_origins;
    let Some(origin) = allowed_origin(allowed, request.headers()) else {
        return next.run(request).await;
    };
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers
            .insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        response
    } else {
        let mut response = next.run(request).await;
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        response
    };
    let headers = response.headers_mut();
    if origin != ANY {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response
}

/// What to allow: everybody, or the origin of this request if it is one of those allowed.
fn allowed_origin(allowed: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    if allowed.iter().any(|one| one == ANY) {
        return Some(HeaderValue::from_static(ANY));
    }
    allowed.iter().any(|one| one.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_that_are_named_are_allowed() {
        let named = vec!["https://app.example".to_owned()];
        let any = vec!["*".to_owned()];
        let of = |allowed: &[String], origin: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            allowed_origin(allowed, &headers)
        };
        assert_eq!(of(&named, "https://app.example").unwrap(), "https://app.example");
        for other in ["https://app.example.org", "http://app.example", "null", ""] {
            assert_eq!(of(&named, other), None, "{other}");
        }
        assert_eq!(of(&any, "https://other.example").unwrap(), "*");
        assert_eq!(of(&[], "https://app.example"), None);
        assert_eq!(allowed_origin(&any, &HeaderMap::new()), None, "nobody asked");
    }
}
