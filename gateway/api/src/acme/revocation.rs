//! Revokes certificates over HTTP (RFC 8555 §7.6).

use axum::extract::State;
use chancery_acme::Error;
use chancery_acme::revocation::Revocation;
use http::StatusCode;
use serde::Deserialize;

use super::AcmeState;
use super::problem::Problem;
use super::request::Call;

#[derive(Deserialize)]
struct Asked {
    certificate: String,
    reason: Option<u64>,
}

/// RFC 8555 §7.6.
pub(super) async fn revoke(
    State(AcmeState { acme }): State<AcmeState>,
    call: Call,
) -> Result<StatusCode, Problem> {
    let (signer, payload) = acme.by_anyone(&call.context, call.target(), &call.body).await?;
    let asked: Asked = payload.json().map_err(Error::from)?;
    let revocation = Revocation { certificate: asked.certificate, reason: asked.reason };
    acme.revoke(&call.context, &signer, revocation).await?;
    Ok(StatusCode::OK)
}
