//! What every request behind TLS gets before it is looked at: an id, its context, its count.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chancery_identity::{Clock, Peer, RequestContext, RequestId, TenantId, Trail};
use http::HeaderValue;
use tracing::Instrument;

/// Gives each request its id and its [`RequestContext`], counts and times it by route, and answers
/// with the id in `x-request-id`.
pub(crate) async fn attach(
    State((clock, tenant)): State<(Clock, TenantId)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let context = of_request(&clock, tenant, &request);
    let id = context.id;
    // The template and not the path: a label must not grow with what callers send.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let span =
        tracing::info_span!("api.request", %id, route, method, status = tracing::field::Empty);
    request.extensions_mut().insert(context);

    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status().as_u16();
    span.record("status", status);
    metrics::counter!(
        "chancery_api_requests_total",
        "route" => route.clone(), "method" => method, "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("chancery_api_request_duration_seconds", "route" => route)
        .record(started.elapsed().as_secs_f64());
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

fn of_request(clock: &Clock, otherwise: TenantId, request: &Request) -> RequestContext {
    let peer = request.extensions().get::<Peer>();
    let evidence = peer.and_then(|peer| peer.evidence.clone());
    // Only where the request goes: whether the certificate counts is asked when an operation begins.
    let tenant =
        evidence.as_ref().and_then(|evidence| evidence.tenant()).map_or(otherwise, Clone::clone);
    RequestContext {
        id: RequestId::random(),
        received: clock.now(),
        // A socket that listens on both versions has IPv4 peers as IPv6 addresses that map theirs.
        address: peer.map(|peer| peer.address.ip().to_canonical()),
        tenant,
        evidence,
        room: request.extensions().get().cloned().unwrap_or_default(),
        trail: Trail::default(),
    }
}

/// The method as a label: callers may invent methods, labels may not grow with them.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "LIST" => "LIST",
        _ => "other",
    }
}
