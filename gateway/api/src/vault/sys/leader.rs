use axum::extract::State;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;

use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::{Condition, VaultState};

#[derive(Serialize)]
struct View<'a> {
    ha_enabled: bool,
    is_self: bool,
    leader_address: &'a str,
    leader_cluster_address: &'a str,
    performance_standby: bool,
}

/// `GET /v1/sys/leader`. Needs no certificate.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    method: Method,
) -> Result<Response, VaultError> {
    if !matches!(method, Method::GET | Method::HEAD) {
        return Err(VaultError::Method);
    }
    let leader = View {
        ha_enabled: false,
        is_self: *state.condition.borrow() == Condition::Active,
        leader_address: "",
        leader_cluster_address: "",
        performance_standby: false,
    };
    Ok(envelope::json(StatusCode::OK, &leader))
}
