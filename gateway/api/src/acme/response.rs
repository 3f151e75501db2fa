//! Runs each ACME request in its own task, and adds the headers that every answer needs (RFC 8555 §6.5, §7.1).

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, header};

use tracing::Instrument as _;

use super::AcmeState;
use super::problem::Problem;
use super::urls::Urls;
use crate::Held;

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// Adds to every answer what RFC 8555 wants in each: a fresh nonce wherever a client could use one,
/// errors included (§6.5), the way back to the directory (§7.1), and that nothing is cached.
pub(super) async fn complete(
    State(state): State<AcmeState>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let is_directory = uri.path().ends_with("/directory");
    let wants_nonce = parts.method != Method::GET || uri.path().ends_with("/new-nonce");
    let directory = Urls::of(&parts.extensions).map(|urls| urls.directory());
    let held = parts.extensions.get::<Held>().cloned();

    // In a task of its own: a client that hangs up must not stop an operation between being done and
    // being recorded.
    let work = next.run(Request::from_parts(parts, body));
    let work = async move {
        let _held = held;
        work.await
    };
    let handled = tokio::spawn(work.in_current_span()).await;
    let mut response = handled.unwrap_or_else(|error| {
        tracing::error!(%error, "a request's handler panicked");
        Problem::internal().into_response()
    });

    let headers = response.headers_mut();
    if wants_nonce && let Ok(nonce) = HeaderValue::from_str(&state.acme.nonce()) {
        headers.insert(REPLAY_NONCE, nonce);
    }
    if !is_directory
        && let Ok(directory) = directory
        && let Ok(link) = HeaderValue::from_str(&format!("<{directory}>;rel=\"index\""))
    {
        headers.append(header::LINK, link);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
