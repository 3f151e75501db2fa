use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_x509::{GeneralName, RevocationReason};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};

use crate::UpstreamError;
use crate::challenge::{ChallengeResponses, Served};

/// Takes one order from `newOrder` to the downloaded chain (RFC 8555 §7.1.6), as PEM. `finalized` is set before the
/// CSR is sent: from then on there may be a certificate.
pub(crate) async fn place(
    account: &Account,
    responses: &ChallengeResponses,
    csr: &[u8],
    names: &BTreeSet<GeneralName>,
    deadline: Duration,
    finalized: &AtomicBool,
) -> Result<String, UpstreamError> {
    let identifiers = names.iter().map(identifier).collect::<Result<Vec<_>, _>>()?;
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let poll = RetryPolicy::new().timeout(deadline);
    if order.state().status == OrderStatus::Pending {
        let served = answer_challenges(&mut order, responses, deadline).await?;
        let status = order.poll_ready(&poll).await;
        drop(served);
        match status {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(why_invalid(&mut order).await),
            Err(error) => return Err(error.into()),
        }
    }
    finalized.store(true, Ordering::Relaxed);
    order.finalize_csr(csr).await?;
    Ok(order.poll_certificate(&poll).await?)
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
