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

/// What tokens begin with.
const TOKENS: [&str; 6] = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];

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
    let asked = format!("{method} {}", without_tokens(&path));
    match access.record_refused(&context, &asked, status.as_u16()).await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(%error, "a refusal is not on record, and so not answered");
            if acme::is_below(&path) { acme::unrecorded() } else { vault::unrecorded() }
        }
    }
}

/// The path without what looks like a token of Vault, OpenBao or this gateway: old clients put one into the path.
fn without_tokens(path: &str) -> String {
    let is_token = |segment: &&str| TOKENS.iter().any(|prefix| segment.starts_with(prefix));
    let shown = path.split('/').map(|segment| if is_token(&segment) { "(token)" } else { segment });
    shown.collect::<Vec<_>>().join("/")
}

/// Whether the status says that the request was at fault. Where there is too much to do, that says nothing about
/// who asks.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        let asked = "/v1/auth/token/lookup/hvs.SECRET";
        assert_eq!(without_tokens(asked), "/v1/auth/token/lookup/(token)");
        assert_eq!(without_tokens("/v1/secret/data/services"), "/v1/secret/data/services");
    }
}
