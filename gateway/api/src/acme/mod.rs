//! ACME over HTTP (RFC 8555): one file per resource. Requests become calls of
//! [`chancery_acme::Acme`], results become JSON, errors become problem documents.
//!
//! URLs begin with the name by which the client called, which is one of the gateway's own names
//! ([`Hosts`](crate::Hosts)), and `/acme`. The signature of each request covers its URL, so one that was
//! signed for another server is worth nothing here.

mod account;
mod authorization;
mod certificate;
mod challenge;
mod directory;
mod key_change;
mod nonce;
mod order;
mod origin;
mod prefix;
mod problem;
mod request;
mod response;
mod revocation;
mod urls;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chancery_acme::{Acme, jws};
use http::StatusCode;

pub(crate) use self::prefix::is_below;
use self::problem::{Problem, Type};

/// What the ACME handlers need.
#[derive(Clone)]
pub struct AcmeState {
    /// The server behind them.
    pub acme: Arc<Acme>,
}

/// A request that called the gateway by a name that is not its own.
pub(crate) fn misdirected(status: StatusCode, detail: Cow<'static, str>) -> Problem {
    Problem::new(status, Type::Malformed, detail)
}

/// The answer in the place of one that is not on record.
pub(crate) fn unrecorded() -> Response {
    Problem::internal().into_response()
}

/// The ACME resources below `/acme`. Requests must carry a
/// [`RequestContext`](chancery_identity::RequestContext) extension and have passed
/// [`check_host`](crate::check_host).
pub fn router(state: AcmeState) -> Router {
    let resources = Router::new()
        .route("/directory", get(directory::show).post(directory::read))
        .route("/new-nonce", get(nonce::show).post(nonce::read))
        .route("/new-account", post(account::create))
        .route("/account/{id}", post(account::update))
        .route("/account/{id}/orders", post(order::list))
        .route("/key-change", post(key_change::change))
        .route("/new-order", post(order::create))
        .route("/order/{id}", post(order::show))
        .route("/order/{id}/finalize", post(order::finalize))
        .route("/authz/{id}", post(authorization::update))
        .route("/challenge/{id}/{type}", post(challenge::respond))
        .route("/certificate/{id}", post(certificate::download))
        .route("/certificate/{id}/{alternate}", post(certificate::download_alternate))
        .route("/revoke-cert", post(revocation::revoke))
        .fallback(problem::no_resource)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(DefaultBodyLimit::max(jws::MAX_BODY))
        .layer(from_fn_with_state(state.clone(), response::complete))
        .layer(from_fn_with_state(state.clone(), origin::share))
        .with_state(state);
    Router::new().nest(prefix::PREFIX, resources)
}
