//! What was refused without an operation behind it: the audit log gets a line all the same, if it is known who
//! asked.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chancery_access::Access;
use chancery_identity::RequestContext;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::{acme, vault};

/// What tokens begin with.
const TOKENS: [&str; 3] = ["hvs.", "hvb.", "hvr."];

/// What older ones begin with, which are this long at least.
const OLDER: ([&str; 3], usize) = (["s.", "b.", "r."], 26);

/// Records refusals that no line tells of. Without its line there is no answer.
pub(crate) async fn record(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    let status = response.status();
    let Some(context) = context.filter(|context| {
        is_refusal(status) && uri.path() != vault::HEALTH && !context.trail.is_recorded()
    }) else {
        return response;
    };
    let asked = format!("{method} {}", without_tokens(uri.path()));
    match access.record_refused(&context, &asked, status.as_u16()).await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(%error, "a refusal is not on record, and so not answered");
            if acme::is_below(uri.path()) { acme::unrecorded() } else { vault::unrecorded() }
        }
    }
}

/// The path without what looks like a token of Vault, OpenBao or this gateway: old clients put one into the path.
fn without_tokens(path: &str) -> String {
    let (older, length) = OLDER;
    let is_token = |segment: &&str| {
        let plain = percent_decode_str(segment).decode_utf8_lossy().to_ascii_lowercase();
        TOKENS.iter().any(|token| plain.contains(token))
            || (plain.len() >= length && older.iter().any(|token| plain.starts_with(token)))
    };
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
        for token in [
            "hvs.SECRET",
            "%68vs.SECRET",
            "HVS.SECRET",
            "x=hvs.SECRET",
            "s.0123456789abcdefghijklmn",
        ] {
            let asked = format!("/v1/auth/token/lookup/{token}");
            assert_eq!(without_tokens(&asked), "/v1/auth/token/lookup/(token)");
        }
        for honest in ["/v1/secret/data/services", "/v1/secret/data/s.company"] {
            assert_eq!(without_tokens(honest), honest);
        }
    }
}
