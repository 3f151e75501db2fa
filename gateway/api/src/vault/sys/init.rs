//! Tells whether the gateway is initialised (`sys/init`).

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

/// `GET /v1/sys/init`. Needs no certificate. A gateway that serves is already initialised, so a client
/// that wants to initialise it (`bao operator init`) gets the same answer as from Vault.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    method: Method,
) -> Result<Response, VaultError> {
    match method {
        Method::GET | Method::HEAD => {}
        Method::POST | Method::PUT => {
            return Err(VaultError::BadRequest("Vault is already initialized".into()));
        }
        _ => return Err(VaultError::Method),
    }
    let initialized = *state.condition.borrow() != Condition::Uninitialised;
    Ok(envelope::json(StatusCode::OK, &Initialization { initialized }))
}
