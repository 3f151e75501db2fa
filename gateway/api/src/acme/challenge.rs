//! Reads challenges over HTTP, and takes clients' responses to them (RFC 8555 §7.5.1).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_acme::Error;
use chancery_acme::authorization::Authorization;
use chancery_acme::challenge::{ChallengeType, Offer};
use http::header;
use serde::Serialize;

use super::AcmeState;
use super::order::{RETRY_AFTER, rfc3339};
use super::problem::{self, Document, Problem};
use super::request::{Call, Segments};
use super::urls::Urls;

/// RFC 8555 §8.
#[derive(Serialize)]
pub(super) struct Body {
    #[serde(rename = "type")]
    kind: ChallengeType,
    url: String,
    status: &'static str,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    validated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Document>,
}

/// Reads a challenge, or says that the client is ready for it (RFC 8555 §7.5.1). That is `{}`; what
/// older clients send instead is tolerated.
pub(super) async fn respond(
    State(AcmeState { acme }): State<AcmeState>,
    Segments((id, kind)): Segments<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    let not_found = || Error::NotFound("challenge");
    let id = id.parse().map_err(|_| not_found())?;
    let kind = ChallengeType::from_name(&kind).ok_or_else(not_found)?;
    let authorization = if payload.is_empty() {
        acme.authorization(&call.context, &account, id).await?
    } else {
        let _: serde_json::Map<String, serde_json::Value> = payload.json().map_err(Error::from)?;
        acme.respond(&call.context, &account, id, kind).await?
    };
    let offer = authorization.offers().iter().find(|offer| offer.kind == kind);
    let body = body(&call.urls, &authorization, offer.ok_or_else(not_found)?);
    let up = format!("<{}>;rel=\"up\"", call.urls.authorization(id));
    Ok(match body.status {
        "pending" | "processing" => {
            ([(header::LINK, up)], [RETRY_AFTER], Json(body)).into_response()
        }
        _ => ([(header::LINK, up)], Json(body)).into_response(),
    })
}

/// The challenges of an authorization: all that can be chosen, or the one that was.
pub(super) fn all(urls: &Urls, authorization: &Authorization) -> Vec<Body> {
    let chosen = match authorization {
        Authorization::Valid(one) => Some(one.chosen()),
        Authorization::Invalid(one) => one.chosen(),
        _ => None,
    };
    authorization
        .offers()
        .iter()
        .filter(|offer| chosen.is_none_or(|kind| kind == offer.kind))
        .map(|offer| body(urls, authorization, offer))
        .collect()
}

fn body(urls: &Urls, authorization: &Authorization, offer: &Offer) -> Body {
    let mut body = Body {
        kind: offer.kind,
        url: urls.challenge(authorization.facts().id, offer.kind),
        status: "pending",
        token: offer.token.clone(),
        validated: None,
        error: None,
    };
    match authorization {
        Authorization::Validating(one) if one.chosen() == offer.kind => body.status = "processing",
        Authorization::Valid(one) if one.chosen() == offer.kind => {
            body.status = "valid";
            body.validated = Some(rfc3339(one.validated()));
        }
        Authorization::Invalid(one) if one.chosen() == Some(offer.kind) => {
            body.status = "invalid";
            body.error = Some(problem::of_failure(one.failure()));
        }
        _ => {}
    }
    body
}
