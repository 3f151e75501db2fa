//! Reads and deactivates authorizations over HTTP (RFC 8555 §7.5).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_acme::authorization::Authorization;
use chancery_acme::{Error, Identifier};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AcmeState;
use super::challenge;
use super::order::{RETRY_AFTER, rfc3339};
use super::problem::Problem;
use super::request::{Call, Segments};
use super::urls::Urls;

#[derive(Deserialize)]
struct Asked {
    status: String,
}

/// RFC 8555 §7.1.4.
#[derive(Serialize)]
struct Body {
    status: &'static str,
    expires: String,
    identifier: Identifier,
    challenges: Vec<challenge::Body>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    wildcard: bool,
}

/// Reads an authorization or gives it up (RFC 8555 §7.5, §7.5.2).
pub(super) async fn update(
    State(AcmeState { acme }): State<AcmeState>,
    Segments(id): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    let id = id.parse().map_err(|_| Error::NotFound("authorization"))?;
    let authorization = if payload.is_empty() {
        acme.authorization(&call.context, &account, id).await?
    } else {
        let asked: Asked = payload.json().map_err(Error::from)?;
        if asked.status != "deactivated" {
            let detail = "an authorization's `status` can only be changed to `deactivated`";
            return Err(Error::Malformed(detail.to_owned()).into());
        }
        acme.deactivate_authorization(&call.context, &account, id).await?
    };
    Ok(answer(&call.urls, &authorization, acme.now()))
}

fn answer(urls: &Urls, authorization: &Authorization, now: Timestamp) -> Response {
    let facts = authorization.facts();
    let status = authorization.status(now);
    let expires = match authorization {
        Authorization::Valid(one) => one.until(),
        _ => facts.expires,
    };
    let body = Json(Body {
        status,
        expires: rfc3339(expires),
        identifier: facts.identifier.base(),
        challenges: challenge::all(urls, authorization),
        wildcard: facts.identifier.is_wildcard(),
    });
    if status == "pending" { ([RETRY_AFTER], body).into_response() } else { body.into_response() }
}
