//! Places, resumes and finalizes orders at an upstream (RFC 8555 §7.4).

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_x509::{CertificateRequest, GeneralName, RevocationReason};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use crate::challenge::{ChallengeResponses, Served};
use crate::error::NO_KIND;
use crate::{BadCertificate, UpstreamChain, UpstreamError};

/// What a certificate is wanted for.
pub(crate) struct Wanted<'a> {
    pub(crate) request: &'a CertificateRequest,
    pub(crate) names: &'a BTreeSet<GeneralName>,
    /// The longest time for each wait.
    pub(crate) deadline: Duration,
}

/// What came of an order that may have the CSR.
pub(crate) enum Finished {
    /// The certificate, checked.
    Issued(Box<UpstreamChain>),
    /// Nothing that is of use, now and later.
    Lost(UpstreamError),
}

/// Takes one order from `newOrder` to where it can be finalized (RFC 8555 §7.1.6).
pub(crate) async fn place(
    account: &Account,
    responses: &ChallengeResponses,
    wanted: &Wanted<'_>,
) -> Result<Order, UpstreamError> {
    let identifiers = wanted.names.iter().map(identifier).collect::<Result<Vec<_>, _>>()?;
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    if order.state().status == OrderStatus::Pending {
        let served = answer_challenges(&mut order, responses, wanted.deadline).await?;
        let status = order.poll_ready(&RetryPolicy::new().timeout(wanted.deadline)).await;
        drop(served);
        match status {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(why_invalid(&mut order).await),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(order)
}

/// Takes an order that is on record to its certificate: finalizes it if it was not, waits, and downloads. An error
/// means that nobody knows yet what will come of it.
pub(crate) async fn finish(
    account: &Account,
    order: &mut Order,
    wanted: &Wanted<'_>,
) -> Result<Finished, UpstreamError> {
    let mut refusal = None;
    if let Some(error) = invalid(order) {
        return Ok(Finished::Lost(error));
    }
    match order.state().status {
        OrderStatus::Ready => {
            if let Err(error) = order.finalize_csr(wanted.request.der()).await {
                let error = UpstreamError::from(error);
                let is_answer = matches!(error, UpstreamError::Refused { .. });
                if !is_answer || order.refresh().await.is_err() {
                    return Err(error);
                }
                match order.state().status {
                    OrderStatus::Pending | OrderStatus::Ready if error.is_passing() => {
                        return Err(error);
                    }
                    OrderStatus::Pending | OrderStatus::Ready => return Ok(Finished::Lost(error)),
                    // It was finalized before: by an earlier try whose answer was lost, or for another CSR.
                    _ => refusal = Some(error),
                }
            }
        }
        OrderStatus::Pending => {
            let why = "an order that was ready is pending again".to_owned();
            return Ok(Finished::Lost(UpstreamError::Unavailable(why)));
        }
        OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => {}
    }
    match order.poll_certificate(&RetryPolicy::new().timeout(wanted.deadline)).await {
        Ok(pem) => Ok(check(&pem, wanted, refusal)),
        Err(error) => {
            let error = UpstreamError::from(error);
            let lost = match order.state().status {
                OrderStatus::Invalid => true,
                // There is a certificate, whatever was answered when it was asked for.
                OrderStatus::Valid => false,
                _ => is_gone(account, order.url(), &error).await,
            };
            if lost { Ok(Finished::Lost(error)) } else { Err(error) }
        }
    }
}

/// Goes on with the order at this URL, which an earlier try has put on record.
pub(crate) async fn go_on(
    account: &Account,
    url: &str,
    wanted: &Wanted<'_>,
) -> Result<Finished, UpstreamError> {
    match account.order(url.to_owned()).await.map_err(UpstreamError::from) {
        Ok(mut order) => finish(account, &mut order, wanted).await,
        Err(error) if is_gone(account, url, &error).await => Ok(Finished::Lost(error)),
        Err(error) => Err(error),
    }
}

fn check(pem: &str, wanted: &Wanted<'_>, refusal: Option<UpstreamError>) -> Finished {
    match UpstreamChain::check(pem, wanted.request.public_key(), wanted.names) {
        Ok(chain) => Finished::Issued(Box::new(chain)),
        // CAs may give out an unused order for the same names once more: another request
        // of this account was faster.
        Err(BadCertificate::OtherKey) if refusal.is_some() => {
            Finished::Lost(refusal.unwrap_or(UpstreamError::UnderWay))
        }
        Err(bad) => Finished::Lost(bad.into()),
    }
}

/// Why the order is invalid, if it is: it stays so (RFC 8555 §7.1.6).
fn invalid(order: &mut Order) -> Option<UpstreamError> {
    let state = order.state();
    (state.status == OrderStatus::Invalid).then(|| match &state.error {
        Some(problem) => instant_acme::Error::Api(problem.clone()).into(),
        None => UpstreamError::Unavailable("the order is invalid and does not say why".to_owned()),
    })
}

/// Whether the other CA has no order at this URL any more, for which `error` was its answer.
///
/// A problem document says so. An answer without one may be from what stands before the CA, which has the order then.
/// Some CAs answer so themselves (Pebble): it is gone if the CA gives out the account and says the same again after
/// that.
async fn is_gone(account: &Account, url: &str, error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Refused { kind, .. } if is_not_there(error) && kind != NO_KIND => true,
        _ if is_not_there(error) && is_given_out(account).await => {
            let again = account.order(url.to_owned()).await.map_err(UpstreamError::from);
            again.is_err_and(|again| is_not_there(&again))
        }
        _ => false,
    }
}

fn is_not_there(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Refused { status: Some(404 | 410), .. })
}

/// Whether the other CA gives out the account (RFC 8555 §6.3). The client knows no way to fetch it but as an order, so
/// that the answer to look for is JSON that is no order: the page of a proxy is no JSON.
async fn is_given_out(account: &Account) -> bool {
    match account.order(account.id().to_owned()).await {
        Ok(_) => true,
        Err(instant_acme::Error::Json(error)) => error.is_data(),
        Err(_) => false,
    }
}

fn identifier(name: &GeneralName) -> Result<Identifier, UpstreamError> {
    match name {
        GeneralName::Dns(name) => Ok(Identifier::Dns(name.clone())),
        GeneralName::Ip(address) => Ok(Identifier::Ip(*address)),
        other => Err(UpstreamError::UnsupportedName(other.to_string())),
    }
}

/// Puts the responses in place and tells the other CA, for every authorization that is not valid
/// from an earlier order. The responses stay while the result is kept.
async fn answer_challenges(
    order: &mut Order,
    responses: &ChallengeResponses,
    deadline: Duration,
) -> Result<Vec<Served>, UpstreamError> {
    let mut served = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let mut challenge = authorization
            .challenge(ChallengeType::Http01)
            .ok_or(UpstreamError::NoChallenge(name))?;
        let answer = challenge.key_authorization().as_str().to_owned();
        served.push(responses.serve(challenge.token.clone(), answer, deadline).await?);
        challenge.set_ready().await?;
    }
    Ok(served)
}

/// Asks the authorizations of a failed order which name it was and why: the order itself does not
/// say.
async fn why_invalid(order: &mut Order) -> UpstreamError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        // Others may still be pending: one that fails ends the order.
        if authorization.status != AuthorizationStatus::Invalid {
            continue;
        }
        let problem =
            authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        return UpstreamError::NotValidated {
            name: authorization.identifier().to_string(),
            detail: problem.map_or_else(|| "it gives no reason".to_owned(), ToString::to_string),
        };
    }
    UpstreamError::Unavailable("the order failed for no reason that its authorizations give".into())
}

pub(crate) fn reason(reason: RevocationReason) -> instant_acme::RevocationReason {
    use instant_acme::RevocationReason as Theirs;
    match reason {
        RevocationReason::Unspecified => Theirs::Unspecified,
        RevocationReason::KeyCompromise => Theirs::KeyCompromise,
        RevocationReason::CaCompromise => Theirs::CaCompromise,
        RevocationReason::AffiliationChanged => Theirs::AffiliationChanged,
        RevocationReason::Superseded => Theirs::Superseded,
        RevocationReason::CessationOfOperation => Theirs::CessationOfOperation,
        RevocationReason::CertificateHold => Theirs::CertificateHold,
        RevocationReason::PrivilegeWithdrawn => Theirs::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => Theirs::AaCompromise,
    }
}
