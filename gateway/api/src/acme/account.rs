//! Creates, reads, changes and deactivates accounts over HTTP (RFC 8555 §7.3).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_acme::Error;
use chancery_acme::account::{Account, AccountStatus, AccountUpdate, NewAccount, Registered};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::AcmeState;
use super::problem::Problem;
use super::request::{Call, Segments};
use super::urls::Urls;

/// RFC 8555 §7.1.2. An external account binding is not asked for and so is ignored.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    contact: Option<Vec<String>>,
    // Some clients write `null` for what they have nothing to say about.
    terms_of_service_agreed: Option<bool>,
    only_return_existing: Option<bool>,
    status: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: &'static str,
    contact: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    terms_of_service_agreed: bool,
    orders: String,
}

pub(super) async fn create(
    State(AcmeState { acme }): State<AcmeState>,
    call: Call,
) -> Result<Response, Problem> {
    let (key, payload) = acme.by_key(&call.context, call.target(), &call.body).await?;
    let asked: Asked = payload.json().map_err(Error::from)?;
    let request = NewAccount {
        contact: asked.contact.unwrap_or_default(),
        terms_agreed: asked.terms_of_service_agreed.unwrap_or_default(),
        only_existing: asked.only_return_existing.unwrap_or_default(),
    };
    let (status, account) = match acme.new_account(&call.context, key, request).await? {
        Registered::Created(account) => (StatusCode::CREATED, account),
        Registered::Existing(account) => (StatusCode::OK, account),
    };
    Ok((status, answer(&call.urls, account)).into_response())
}

/// Reads, changes or gives up an account (RFC 8555 §7.3.2, §7.3.6).
pub(super) async fn update(
    State(AcmeState { acme }): State<AcmeState>,
    Segments(id): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    acme.check_own(&call.context, &account, &id).await?;
    let asked: Asked =
        if payload.is_empty() { Asked::default() } else { payload.json().map_err(Error::from)? };
    // What else is asked for is ignored, as RFC 8555 §7.3.2 has it.
    let deactivate = asked.status.as_deref() == Some("deactivated");
    let update = AccountUpdate { contact: asked.contact, deactivate };
    let account = acme.update_account(&call.context, account, update).await?;
    Ok(answer(&call.urls, account).into_response())
}

/// The account with its URL in `Location`.
pub(super) fn answer(urls: &Urls, account: Account) -> impl IntoResponse + use<> {
    let body = Body {
        status: match account.status {
            AccountStatus::Valid => "valid",
            AccountStatus::Deactivated => "deactivated",
        },
        contact: account.contact,
        terms_of_service_agreed: account.terms_agreed,
        orders: urls.orders(account.id),
    };
    ([(header::LOCATION, urls.account(account.id))], Json(body))
}
