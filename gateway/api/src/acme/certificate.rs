//! Serves certificate chains and links to alternate chains (RFC 8555 §7.4.2).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::AcmeState;
use super::order::read_only;
use super::problem::Problem;
use super::request::{Call, Segments};

/// RFC 8555 §7.4.2. Other chains of the same certificate are linked.
pub(super) async fn download(
    state: State<AcmeState>,
    Segments(serial): Segments<String>,
    call: Call,
) -> Result<Response, Problem> {
    chain(state, &serial, None, call).await
}

/// One of the other chains.
pub(super) async fn download_alternate(
    state: State<AcmeState>,
    Segments((serial, number)): Segments<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    // What is no number is a chain that is not there.
    let number = number.parse().unwrap_or(usize::MAX);
    chain(state, &serial, Some(number), call).await
}

async fn chain(
    State(AcmeState { acme }): State<AcmeState>,
    serial: &str,
    alternate: Option<usize>,
    call: Call,
) -> Result<Response, Problem> {
    let (account, payload) = acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    let found = acme.certificate(&call.context, &account, serial, alternate).await?;
    let kind = [(header::CONTENT_TYPE, "application/pem-certificate-chain")];
    let mut response = (kind, found.chain).into_response();
    let others = (0..found.alternates).filter(|number| Some(*number) != alternate);
    let mut urls: Vec<_> = others.map(|number| call.urls.alternate(serial, number)).collect();
    // From one of them the chain that everybody gets is another one.
    urls.extend(alternate.map(|_| call.urls.certificate(serial)));
    for url in urls {
        if let Ok(link) = HeaderValue::from_str(&format!("<{url}>;rel=\"alternate\"")) {
            response.headers_mut().append(header::LINK, link);
        }
    }
    Ok(response)
}
