//! What a request's URL says: the variable segments of its path, and the parameters of its query. What axum says of one
//! that cannot be read is for programmers, and no problem document, so nothing else reads them.

use axum::RequestPartsExt as _;
use axum::extract::FromRequestParts;
#[expect(clippy::disallowed_types, reason = "this is the place")]
use axum::extract::Path;
use http::request::Parts;
use http::{StatusCode, Uri};
use serde::de::DeserializeOwned;

/// Those of a request on the plain port.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let nothing = (StatusCode::NOT_FOUND, "there is no such file here\n");
        segments(parts).await.map(Self).ok_or(nothing)
    }
}

/// The segments of the path; none if they are not what they have to be, such as no UTF-8.
#[expect(clippy::disallowed_types, reason = "this is the place")]
pub(crate) async fn segments<T: DeserializeOwned + Send + 'static>(parts: &mut Parts) -> Option<T> {
    parts.extract::<Path<T>>().await.ok().map(|Path(segments)| segments)
}

/// Whether the query is text: what is none stands for nothing that there is.
pub(crate) fn has_text(uri: &Uri) -> bool {
    uri.query()
        .is_none_or(|query| percent_encoding::percent_decode_str(query).decode_utf8().is_ok())
}

/// The value of a parameter of the query: of several, the first; empty if it is there without one.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&');
    let mut values = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = values.find(|(key, _)| *key == name)?;
    let plain = value.replace('+', " ");
    Some(percent_encoding::percent_decode_str(&plain).decode_utf8_lossy().into_owned())
}
