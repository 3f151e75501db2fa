//! Answers requests for a new nonce (RFC 8555 §7.2).

use axum::extract::State;
use http::{Method, StatusCode};

use super::AcmeState;
use super::order::read_only;
use super::problem::Problem;
use super::request::Call;

/// RFC 8555 §7.2. The nonce itself comes with every answer.
pub(super) async fn show(method: Method) -> StatusCode {
    if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT }
}

/// The same by POST-as-GET (RFC 8555 §6.3).
pub(super) async fn read(
    State(AcmeState { acme }): State<AcmeState>,
    call: Call,
) -> Result<StatusCode, Problem> {
    let (_, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    Ok(StatusCode::NO_CONTENT)
}
