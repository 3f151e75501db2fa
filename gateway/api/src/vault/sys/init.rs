use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::{Condition, VaultState};

#[derive(Serialize)]
struct Initialization {
    initialized: bool,
}

/// `GET /v1/sys/init`. Needs no certificate.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    method: Method,
) -> Result<Response, VaultError> {
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(VaultError::Method);
    }
    let initialized = *state.condition.borrow() != Condition::Uninitialised;
    Ok(envelope::json(StatusCode::OK, &Initialization { initialized }))
}
