//! Changes the key of an account over HTTP (RFC 8555 §7.3.5).

use axum::extract::State;
use axum::response::IntoResponse;
use chancery_acme::Error;

use super::AcmeState;
use super::account;
use super::problem::Problem;
use super::request::Call;

/// RFC 8555 §7.3.5.
pub(super) async fn change(
    State(AcmeState { acme }): State<AcmeState>,
    call: Call,
) -> Result<impl IntoResponse, Problem> {
    let (signer, inner) = acme.by_account(&call.context, call.target(), &call.body).await?;
    let own = call.urls.account(signer.id());
    match acme.change_key(&call.context, signer, &inner, call.url(), &own).await {
        Ok(changed) => Ok(account::answer(&call.urls, changed)),
        Err(Error::KeyInUse { account }) => {
            Err(Problem::from(Error::KeyInUse { account }).at(call.urls.account(account)))
        }
        Err(error) => Err(error.into()),
    }
}
