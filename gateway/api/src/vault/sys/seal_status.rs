//! Tells whether the store is sealed, and how its root key is kept (`sys/seal-status`).

use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::{Condition, VaultState};

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the API has it so")]
struct SealStatus<'a> {
    r#type: &'a str,
    initialized: bool,
    sealed: bool,
    /// Shares needed to unseal, and shares there are: the root key is one piece.
    t: u8,
    n: u8,
    progress: u8,
    nonce: &'a str,
    version: &'a str,
    build_date: &'a str,
    migration: bool,
    cluster_name: &'a str,
    cluster_id: &'a str,
    recovery_seal: bool,
    storage_type: &'a str,
}

/// `GET /v1/sys/seal-status`. Needs no certificate.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    method: Method,
) -> Result<Response, VaultError> {
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(VaultError::Method);
    }
    let condition = *state.condition.borrow();
    let installation = &state.installation;
    let status = SealStatus {
        r#type: &installation.seal_type,
        initialized: condition != Condition::Uninitialised,
        sealed: matches!(condition, Condition::Sealed | Condition::Uninitialised),
        t: 1,
        n: 1,
        progress: 0,
        nonce: "",
        version: &installation.version,
        build_date: "",
        migration: false,
        cluster_name: &installation.cluster_name,
        cluster_id: &installation.cluster_id,
        recovery_seal: false,
        storage_type: &installation.storage_type,
    };
    Ok(envelope::json(StatusCode::OK, &status))
}
