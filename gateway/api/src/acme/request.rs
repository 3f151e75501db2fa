//! Extracts the signed body of an ACME request, the URL that was called and the path segments.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::response::IntoResponse;
use chancery_acme::Target;
use chancery_identity::RequestContext;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::de::DeserializeOwned;

use super::problem::{Problem, Type, no_resource};
use super::urls::{NoHost, Urls};
use crate::{BodyError, url};

/// A POST of ACME: a JWS, where it was sent, and who sent it. Its signature is not checked yet.
pub(super) struct Call {
    pub(super) context: RequestContext,
    pub(super) urls: Urls,
    pub(super) body: Bytes,
    url: String,
    uri: Uri,
    account_prefix: String,
}

impl Call {
    /// What the signed URLs have to match.
    pub(super) fn target(&self) -> Target<'_> {
        Target { url: &self.url, account_prefix: &self.account_prefix }
    }

    /// The value of a parameter of the query: of several, the first.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        url::parameter(&self.uri, name)
    }

    /// The URL that was called.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// The variable segments of the path.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match url::segments(parts).await {
            Some(found) => Ok(Self(found)),
            None => Err(no_resource().await),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let urls = Urls::of(&parts.extensions).map_err(|NoHost| {
            tracing::error!("a request reached ACME without its host");
            Problem::internal()
        })?;
        let uri = uri.clone();
        let url = urls.of_path(uri.path_and_query().map_or("/", |path| path.as_str()));
        let context = parts.extensions.get::<RequestContext>().cloned().ok_or_else(|| {
            tracing::error!("a request reached ACME without its context");
            Problem::internal()
        })?;
        if !is_jose(&parts.headers) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Type::Malformed,
                "the content type must be application/jose+json (RFC 8555 §6.2)",
            ));
        }
        let body = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(unreadable)?;
        let account_prefix = urls.account_prefix();
        Ok(Self { context, urls, body, url, uri, account_prefix })
    }
}

fn is_jose(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/jose+json")
}

fn unreadable(rejection: BytesRejection) -> Problem {
    if let Some(error) = BodyError::behind(&rejection) {
        return Problem::of_body(error);
    }
    let status = rejection.into_response().status();
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the request body is too large",
        _ => "the request body could not be read",
    };
    Problem::new(status, Type::Malformed, detail)
}
