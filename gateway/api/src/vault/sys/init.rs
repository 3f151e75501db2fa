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

/// `GET /v1/sys/init`. Needs no certificate. A gateway that serves has been initialised, so that whoever
/// wants to do it (`bao operator init`) is told as Vault tells.
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
