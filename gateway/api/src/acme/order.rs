//! Creates, reads, finalizes and lists orders over HTTP (RFC 8555 §7.4).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chancery_acme::jws::Object;
use chancery_acme::order::{NewOrder, Order};
use chancery_acme::{Error, Identifier};
use http::{HeaderName, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::AcmeState;
use super::problem::{self, Document, Problem};
use super::request::{Call, Segments};
use super::urls::Urls;

/// How soon a client should look again at what is under way, in seconds.
pub(super) const RETRY_AFTER: (HeaderName, &str) = (header::RETRY_AFTER, "1");

/// RFC 8555 §7.4; `profile` is draft-ietf-acme-profiles §4.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    identifiers: Vec<Object<AskedIdentifier>>,
    profile: Option<String>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

#[derive(Deserialize)]
struct AskedIdentifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

/// RFC 8555 §7.1.3.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status: &'static str,
    expires: String,
    identifiers: &'a [Identifier],
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Document>,
    authorizations: Vec<String>,
    finalize: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
}

#[derive(Serialize)]
struct List {
    orders: Vec<String>,
}

pub(super) async fn create(
    State(AcmeState { acme }): State<AcmeState>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    let asked: Asked = payload.json().map_err(Error::from)?;
    let request = NewOrder {
        identifiers: asked
            .identifiers
            .into_iter()
            .map(|Object(one)| (one.kind, one.value))
            .collect(),
        profile: asked.profile,
        not_before: asked.not_before,
        not_after: asked.not_after,
    };
    let order = acme.new_order(&call.context, &account, request).await?;
    Ok((StatusCode::CREATED, answer(&call.urls, &order, acme.now())).into_response())
}

pub(super) async fn show(
    State(AcmeState { acme }): State<AcmeState>,
    Segments(id): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    let id = id.parse().map_err(|_| Error::NotFound("order"))?;
    let order = acme.order(&call.context, &account, id).await?;
    Ok(answer(&call.urls, &order, acme.now()))
}

pub(super) async fn finalize(
    State(AcmeState { acme }): State<AcmeState>,
    Segments(id): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    let id = id.parse().map_err(|_| Error::NotFound("order"))?;
    let asked: Finalize = payload.json().map_err(Error::from)?;
    let order = acme.finalize(&call.context, &account, id, &asked.csr).await?;
    Ok(answer(&call.urls, &order, acme.now()))
}

/// RFC 8555 §7.1.2.1.
pub(super) async fn list(
    State(AcmeState { acme }): State<AcmeState>,
    Segments(id): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    acme.check_own(&call.context, &account, &id).await?;
    let after = call.query("after").map(|id| id.parse()).transpose();
    let after = after.map_err(|_| Error::NotFound("page of orders"))?;
    let found = acme.orders(&call.context, &account, after).await?;
    let list = List { orders: found.orders.iter().map(|id| call.urls.order(*id)).collect() };
    let mut response = Json(list).into_response();
    if let Some(last) = found.next {
        let next = call.urls.orders_after(account.id(), last);
        if let Ok(link) = format!("<{next}>;rel=\"next\"").parse() {
            response.headers_mut().append(header::LINK, link);
        }
    }
    Ok(response)
}

/// The order, with its URL in `Location`: some clients poll nothing else.
fn answer(urls: &Urls, order: &Order, now: Timestamp) -> Response {
    let facts = order.facts();
    let location = [(header::LOCATION, urls.order(facts.id))];
    let body = Json(Body {
        status: order.status(),
        expires: rfc3339(facts.expires),
        identifiers: &facts.identifiers,
        profile: facts.profile.as_deref(),
        not_before: facts.not_before.map(rfc3339),
        not_after: facts.not_after.map(rfc3339),
        error: match order {
            Order::Invalid(order) => Some(problem::of_failure(order.failure())),
            // That of the last CSR: the order waits for another one.
            Order::Ready(order) => order.rejected().map(problem::of_failure),
            _ => None,
        },
        authorizations: facts
            .authorizations()
            .into_iter()
            .map(|id| urls.authorization(id))
            .collect(),
        finalize: urls.finalize(facts.id),
        certificate: match order {
            Order::Valid(order) => Some(urls.certificate(order.certificate())),
            _ => None,
        },
    });
    match order {
        Order::Processing(order) if let Some(put_off) = order.put_off() => {
            let again = put_off.left(now).as_secs().max(1).to_string();
            (location, [(header::RETRY_AFTER, again)], body).into_response()
        }
        Order::Pending(_) | Order::Processing(_) => (location, [RETRY_AFTER], body).into_response(),
        _ => (location, body).into_response(),
    }
}

/// Times as every client reads them: whole seconds, `Z` (RFC 3339).
pub(super) fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A POST-as-GET has an empty payload (RFC 8555 §6.3).
pub(super) fn read_only(payload: &chancery_acme::jws::Payload) -> Result<(), Error> {
    if payload.is_empty() {
        return Ok(());
    }
    Err(Error::Malformed("read this with an empty payload (RFC 8555 §6.3)".to_owned()))
}
