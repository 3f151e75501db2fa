//! What requests may be encoded with: nothing. A body that is taken for something else than the client, or a proxy
//! in front, takes it for is the beginning of request smuggling (RFC 9112 §11.2).

use std::borrow::Cow;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{acme, vault};

/// A request with a coding that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownCoding {
    /// Of the message: something else than `chunked`, once (RFC 9112 §6.1).
    Transfer,
    /// Of the content (RFC 9110 §8.4).
    Content,
}

impl UnknownCoding {
    /// The one in these headers, if there is one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let codings = |name: &HeaderName| {
            let values = headers.get_all(name).iter();
            let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            codings.map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()).collect::<Vec<_>>()
        };
        let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let transfer = codings(&TRANSFER_ENCODING);
        if transfer.len() > 1 || transfer.iter().any(|coding| !is(coding, "chunked")) {
            return Some(Self::Transfer);
        }
        let content = codings(&CONTENT_ENCODING);
        let unknown = content.iter().any(|coding| !is(coding, "identity"));
        unknown.then_some(Self::Content)
    }

    pub(crate) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Transfer => (
                StatusCode::NOT_IMPLEMENTED,
                "the only transfer coding that is understood is chunked, once: send the body without others",
            ),
            Self::Content => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "no content coding is understood: send the body as it is, without Content-Encoding",
            ),
        }
    }

    /// What the answer says beside its text. Where a message ends is not certain after an unknown transfer coding, so
    /// that the connection ends with it.
    pub(crate) fn finish(self, mut response: Response) -> Response {
        let (name, value) = match self {
            Self::Transfer => (CONNECTION, HeaderValue::from_static("close")),
            Self::Content => (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        };
        response.headers_mut().insert(name, value);
        response
    }
}

/// Lets requests pass whose bodies are what they look like.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let Some(unknown) = UnknownCoding::of(request.headers()) else {
        return next.run(request).await;
    };
    let (status, detail) = unknown.answer();
    let detail = Cow::Borrowed(detail);
    unknown.finish(if acme::is_below(request.uri().path()) {
        acme::misdirected(status, detail).into_response()
    } else {
        vault::misdirected(status, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunked_is_understood_and_only_once() {
        let of = |name: HeaderName, values: &[&str]| {
            let values = values.iter().map(|value| value.parse().unwrap());
            UnknownCoding::of(&values.map(|value| (name.clone(), value)).collect())
        };
        for fine in [&[][..], &["chunked"], &["Chunked"], &[" chunked ,"]] {
            assert_eq!(of(TRANSFER_ENCODING, fine), None, "{fine:?}");
        }
        for wrong in [
            &["gzip"][..],
            &["gzip, chunked"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["identity"],
        ] {
            assert_eq!(of(TRANSFER_ENCODING, wrong), Some(UnknownCoding::Transfer), "{wrong:?}");
        }
        assert_eq!(of(CONTENT_ENCODING, &["identity"]), None);
        assert_eq!(of(CONTENT_ENCODING, &["gzip"]), Some(UnknownCoding::Content));
    }
}
