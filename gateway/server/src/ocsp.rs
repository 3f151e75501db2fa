//! The OCSP responder of the gateway's CA: its delegated signer, a software key that lives in memory only,
//! certified for a short time and renewed like the gateway's own TLS certificate.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use chancery_api::{OcspOutcome, OcspReply, Reusable};
use chancery_ca::{Ca, OcspAnswer, OcspResponder};
use chancery_identity::TenantId;
use chancery_issuance::Issuers;
use chancery_store::ReadError;
use chancery_x509::{GeneralName, ParsedCertificate, Serial};
use jiff::Timestamp;

use crate::gateway::Gateway;
use crate::request::{Certified, Wanted, certified};

/// Who the policies see as the requester.
const REQUESTER: &str = "ocsp";
/// The profile that is asked for; of a further CA followed by `-` and its name, because policy chooses
/// which CA issues.
const PROFILE: &str = "ocsp-signer";

/// The responders that need a delegate, with its profile: those of the CAs that issue.
pub(crate) fn delegating(gateway: &Gateway) -> Vec<(String, Arc<OcspResponder>)> {
    let of = |ca: &Arc<Ca>| {
        let responder = gateway.ocsp(ca.issuer_id())?;
        Some((profile(ca.name()), responder))
    };
    gateway.cas().filter_map(of).collect()
}

/// The profile for the delegate of the CA with this name.
pub(crate) fn profile(ca: &str) -> String {
    if ca == Issuers::PRIVATE { PROFILE.to_owned() } else { format!("{PROFILE}-{ca}") }
}

/// What a delegate needs.
pub(crate) fn wanted<'a>(profile: &'a str, names: &'a [GeneralName]) -> Wanted<'a> {
    let tenant = TenantId::default_tenant();
    Wanted { tenant, requester: REQUESTER, profile, names, method: "configuration" }
}

/// Has a certificate for a new delegated key issued, and signs with that from now on. Gives the time at
/// which the next one is due.
pub(crate) async fn delegate(
    gateway: &Gateway,
    responder: &OcspResponder,
    profile: &str,
    names: &[GeneralName],
) -> Result<Timestamp> {
    let now = gateway.clock.now();
    let wanted = wanted(profile, names);
    let Certified { key, issued } = certified(gateway, wanted).await.with_context(|| {
        format!(
            "issuing the OCSP signer's certificate: a certificate policy has to allow \
             internal:{REQUESTER} the profile {profile}, or ocsp_hours of the CA has to be 0"
        )
    })?;
    responder.delegate(key, issued.der)?;
    let life = issued.not_after.duration_since(now);
    Ok(now + (life / 3 * 2))
}

/// Answers a request for the status of certificates of the issuer with this id.
pub(crate) fn answer(gateway: &Arc<Gateway>, issuer: &str, request: Bytes) -> Option<OcspOutcome> {
    let responder = gateway.ocsp(issuer)?;
    let now = gateway.clock.now();
    if let Some(kept) = responder.kept(&request, now) {
        return Some(OcspOutcome::Ready(reply(kept, now)));
    }
    let gateway = gateway.clone();
    let issuer: Arc<str> = issuer.into();
    Some(OcspOutcome::Pending(Box::pin(async move {
        let issued = |serial| is_issued(gateway.clone(), issuer.clone(), serial);
        reply(responder.answer(&request, now, issued).await, now)
    })))
}

fn reply(answer: OcspAnswer, now: Timestamp) -> OcspReply {
    let reusable = answer.reusable.map(|(from, until)| {
        let left = until.duration_since(now).as_secs();
        Reusable { from, until, seconds: u64::try_from(left).unwrap_or_default() }
    });
    OcspReply { der: answer.der, reusable }
}

/// Whether this issuer has issued a certificate with this number, whosever it is.
async fn is_issued(
    gateway: Arc<Gateway>,
    issuer: Arc<str>,
    serial: Serial,
) -> Result<bool, ReadError> {
    for tenant in gateway.tenants.all().iter() {
        let Some(found) = gateway.issuance.find(tenant, &serial).await? else { continue };
        let certificate = ParsedCertificate::from_der(&found.der).ok();
        return Ok(certificate.is_some_and(|one| one.authority_key_id() == Some(&*issuer)));
    }
    Ok(false)
}
