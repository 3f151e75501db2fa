//! Tells clients that there is no high availability (`sys/leader`).

use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::vault::envelope;
use crate::vault::error::VaultError;

#[derive(Serialize)]
struct View {
    ha_enabled: bool,
}

/// `GET /v1/sys/leader`. Needs no certificate. There is one gateway, so nobody leads.
pub(in crate::vault) async fn handle(method: Method) -> Result<Response, VaultError> {
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(VaultError::Method);
    }
    let leader = View { ha_enabled: false };
    Ok(envelope::json(StatusCode::OK, &leader))
}
