//! What was refused without an operation behind it: the audit log gets a line all the same, if it is known who
//! asked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chancery_access::Access;
use chancery_identity::RequestContext;
use http::StatusCode;

use crate::{acme, vault};

/// Records refusals that no line tells of. Without its line there is no answer.
pub(crate) async fn record(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    let Some(context) = context.filter(|context| {
        is_refusal(status) && path != vault::HEALTH && !context.trail.is_recorded()
    }) else {
        return response;
    };
    let asked = format!("{method} {path}");
    match access.record_refused(&context, &asked, status.as_u16()).await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(%error, "a refusal is not on record, and so not answered");
            if acme::is_below(&path) { acme::unrecorded() } else { vault::unrecorded() }
        }
    }
}

/// Whether the status says that the request was at fault. Where there is too much to do, that says nothing about
/// who asks.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}
