use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::AcmeState;
use super::order::read_only;
use super::problem::Problem;
use super::request::Call;

/// RFC 8555 §7.4.2.
pub(super) async fn download(
    State(AcmeState { acme }): State<AcmeState>,
    Path(serial): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    let chain = acme.certificate(&call.context, &account, &serial).await?;
    Ok(([(header::CONTENT_TYPE, "application/pem-certificate-chain")], chain).into_response())
}
