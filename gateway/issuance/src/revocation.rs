//! Decides on revocation requests and carries them out. A compromised key is blocked.

use std::collections::BTreeSet;

use chancery_audit::{Decision, Event};
use chancery_ca::RevokedCertificate;
use chancery_gate::{Denied, Refused, Session};
use chancery_identity::{Identity, RequestContext};
use chancery_records::Fence;
use chancery_store::Version;
use chancery_upstream::UpstreamError;
use chancery_x509::{GeneralName, ParsedCertificate, PublicKey, RevocationReason, Serial};
use jiff::Timestamp;

use crate::issuers::Issuer;
use crate::record::{InventoryEntry, Revocation};
use crate::{Inner, Requester, RevokeError, Unavailable};

/// The operation, as policies name it.
const OPERATION: &str = "certificates.revoke";

/// A request to revoke a certificate.
#[derive(Debug, Clone)]
pub struct RevocationRequest {
    /// The request from the outside that this belongs to; the certificate is its tenant's.
    pub context: RequestContext,
    /// Which certificate.
    pub serial: Serial,
    /// Why.
    pub reason: RevocationReason,
    /// The right on which the request relies.
    pub by: Revoker,
}

/// The right on which somebody requests a revocation. The caller has verified that they have it. The code
/// here, and policy, decide whether it is sufficient for this certificate.
#[derive(Debug, Clone)]
pub enum Revoker {
    /// The requester who got the certificate.
    Requester(Requester),
    /// An ACME account that has valid authorizations for these names (RFC 8555 §7.6).
    NamesHolder {
        /// The account's id.
        account: String,
        /// The names.
        names: BTreeSet<GeneralName>,
    },
    /// The client that signed the request with the certificate's own key (RFC 8555 §7.6).
    KeyHolder(PublicKey),
    /// Somebody whom policy lets revoke the certificates of others.
    Operator(Identity),
}

impl std::fmt::Display for Revoker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requester(requester) => requester.fmt(f),
            Self::NamesHolder { account, .. } => write!(f, "acme:{account}"),
            Self::KeyHolder(key) => write!(f, "key:{}", hex::encode(key.fingerprint())),
            Self::Operator(identity) => identity.fmt(f),
        }
    }
}

/// What happened on the way of a revocation, for its audit line.
#[derive(Debug, Default)]
struct Course {
    /// What the policies said.
    said: Vec<Decision>,
    /// Whether the key was blocked, also if the certificate had been revoked before.
    blocked_key: bool,
}

/// Decides and carries out a revocation. If the key is thereby known to be compromised, it revokes all
/// other certificates for the key too. When this returns, the audit log contains success and failure
/// alike.
#[tracing::instrument(name = "issuance.revoke", skip_all, fields(request = %request.context.id))]
pub(crate) async fn run(inner: &Inner, request: RevocationRequest) -> Result<(), RevokeError> {
    let mut course = Course::default();
    let result = with_others(inner, &request, &mut course).await;
    publish(inner).await;
    record(inner, &request, course, &result).await?;
    result
}

/// Does the same without making a CRL: the caller makes one after many of these.
pub(crate) async fn run_one_of_many(
    inner: &Inner,
    request: RevocationRequest,
) -> Result<(), RevokeError> {
    let mut course = Course::default();
    let result = with_others(inner, &request, &mut course).await;
    record(inner, &request, course, &result).await?;
    result
}

/// Makes the CRL anew if anything was revoked since the last one. Revocations hold without it too.
pub(crate) async fn publish(inner: &Inner) {
    let now = inner.clock.now();
    for ca in inner.issuers.all_private() {
        if let Err(error) = ca.refresh_crl(now, &Fence::none()).await {
            tracing::error!(%error, "revocations are stored, but the CRL does not show them yet");
        }
    }
}

async fn with_others(
    inner: &Inner,
    request: &RevocationRequest,
    course: &mut Course,
) -> Result<(), RevokeError> {
    let (entry, version) = decide(inner, request, &mut course.said).await?;
    if let Some(extent) = compromise(request) {
        course.blocked_key = block_key(inner, &entry).await?;
        revoke_others(inner, request, &entry, extent).await?;
    }
    carry_out(inner, request, entry, version).await
}

async fn record(
    inner: &Inner,
    request: &RevocationRequest,
    course: Course,
    result: &Result<(), RevokeError>,
) -> Result<(), Unavailable> {
    let Course { said, blocked_key } = course;
    let mut event = Event::new(&request.context, OPERATION, request.serial.to_string())
        .decisions(said)
        .detail("by", request.by.to_string())
        .detail("reason", request.reason.code());
    if let Revoker::Requester(Requester::AcmeAccount { id })
    | Revoker::NamesHolder { account: id, .. } = &request.by
    {
        event = event.account(id.clone());
    }
    let event = match result {
        Ok(()) => event.succeeded(),
        Err(error) => event.detail("error", error.to_string()).outcome(error.outcome()),
    };
    let came_to_nothing = match result {
        Ok(()) | Err(RevokeError::Unavailable(_)) => false,
        Err(_) => !blocked_key,
    };
    // Anybody can have an account and a certificate, and ask without end that it be revoked once more.
    let recorded = match request.by {
        Revoker::Requester(Requester::AcmeAccount { .. })
        | Revoker::NamesHolder { .. }
        | Revoker::KeyHolder(_)
            if came_to_nothing =>
        {
            inner.gate.record_unsuccessful(&request.context, event).await
        }
        _ => inner.gate.record(event).await,
    };
    Ok(recorded?)
}

/// Whether this revocation is allowed, by the rules and by policy.
async fn decide(
    inner: &Inner,
    request: &RevocationRequest,
    said: &mut Vec<Decision>,
) -> Result<(InventoryEntry, Version), RevokeError> {
    let RevocationRequest { context, serial, reason, by } = request;
    let found = inner.inventory.find(&context.tenant, serial).await.map_err(Unavailable::from)?;
    let (entry, version) = found.ok_or(RevokeError::NotFound)?;
    check_right(&entry, by)?;
    check_reason(*reason, by)?;
    ask_policy(inner, request, &entry, said).await?;
    Ok((entry, version))
}

async fn carry_out(
    inner: &Inner,
    request: &RevocationRequest,
    mut entry: InventoryEntry,
    version: Version,
) -> Result<(), RevokeError> {
    let RevocationRequest { reason, by, .. } = request;
    if entry.revoked.is_some() {
        return Err(RevokeError::AlreadyRevoked);
    }
    // The CA comes first, since relying parties ask it. If the gateway ends before the inventory knows,
    // the next attempt finds the certificate revoked at the CA and completes the inventory.
    let at = inner.clock.now();
    at_issuer(inner, &entry, *reason, at).await?;
    entry.revoked = Some(Revocation { at, reason: *reason, by: by.to_string() });
    inner.inventory.update(&entry, version).await.map_err(Unavailable::from)?;
    metrics::counter!("chancery_issuance_revocations_total").increment(1);
    Ok(())
}

/// For which tenants a statement that a key is compromised counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It was proved with the key itself: it counts for all tenants.
    Everywhere,
    /// An operator states it: it counts for the operator's tenant.
    Tenant,
}

/// A key is blocked for good, and all its certificates are revoked, if its holder proves the compromise
/// or an operator states it. The word of somebody who only got a certificate for the key is not
/// sufficient.
fn compromise(request: &RevocationRequest) -> Option<Extent> {
    match (request.reason, &request.by) {
        (RevocationReason::KeyCompromise, Revoker::KeyHolder(_)) => Some(Extent::Everywhere),
        (RevocationReason::KeyCompromise, Revoker::Operator(_)) => Some(Extent::Tenant),
        _ => None,
    }
}

/// Says whether that is new.
async fn block_key(inner: &Inner, entry: &InventoryEntry) -> Result<bool, Unavailable> {
    let certificate = ParsedCertificate::from_der(&entry.der)?;
    Ok(inner.inventory.block(certificate.public_key().map_err(Clone::clone)?).await?)
}

/// Revokes the other certificates for the key that have not ended. Policy is asked about each, and each
/// has its own line in the audit log. A certificate that policy keeps is kept. A revocation that failed
/// is an error, so that trying again completes it.
async fn revoke_others(
    inner: &Inner,
    request: &RevocationRequest,
    first: &InventoryEntry,
    extent: Extent,
) -> Result<(), RevokeError> {
    let now = inner.clock.now();
    let others = match extent {
        Extent::Everywhere => inner.inventory.of_key(&first.spki_sha256).await,
        Extent::Tenant => inner.inventory.of_tenants_key(&first.tenant, &first.spki_sha256).await,
    };
    let mut undone = None;
    for (tenant, serial) in others.map_err(Unavailable::from)? {
        if (&tenant, &serial) == (&first.tenant, &first.serial) {
            continue;
        }
        let other = inner.inventory.find(&tenant, &serial).await.map_err(Unavailable::from)?;
        if other.is_none_or(|(other, _)| other.revoked.is_some() || other.not_after < now) {
            continue;
        }
        let context = RequestContext { tenant, ..request.context.clone() };
        let other = RevocationRequest { context, serial, ..request.clone() };
        let mut said = Vec::new();
        let result = match decide(inner, &other, &mut said).await {
            Ok((entry, version)) => carry_out(inner, &other, entry, version).await,
            Err(error) => Err(error),
        };
        record(inner, &other, Course { said, ..Course::default() }, &result).await?;
        if let Err(error @ RevokeError::Unavailable(_)) = result {
            undone = Some(error);
        }
    }
    undone.map_or(Ok(()), Err)
}

/// Whether the proven right covers this certificate.
fn check_right(entry: &InventoryEntry, by: &Revoker) -> Result<(), RevokeError> {
    let has_right = match by {
        Revoker::Requester(requester) => requester.to_string() == entry.requester,
        Revoker::NamesHolder { names, .. } => {
            !entry.names.is_empty() && entry.names.iter().all(|name| names.contains(name))
        }
        Revoker::KeyHolder(key) => hex::encode(key.fingerprint()) == entry.spki_sha256,
        Revoker::Operator(_) => true,
    };
    if has_right {
        return Ok(());
    }
    let denied = Denied::new(
        "no-right",
        "neither the certificate's owner nor the holder of its key or of all its names asked for this",
    );
    Err(Refused::from(denied).into())
}

/// Checks that the revoker may give this reason: a subscriber cannot speak for the CA, and a client that
/// only controls the names knows nothing of the key.
fn check_reason(reason: RevocationReason, by: &Revoker) -> Result<(), RevokeError> {
    match (reason, by) {
        (RevocationReason::KeyCompromise, Revoker::NamesHolder { .. }) => {
            Err(RevokeError::BadReason("keyCompromise takes a signature by the compromised key"))
        }
        (
            RevocationReason::Unspecified
            | RevocationReason::KeyCompromise
            | RevocationReason::AffiliationChanged
            | RevocationReason::Superseded
            | RevocationReason::CessationOfOperation,
            _,
        )
        | (RevocationReason::PrivilegeWithdrawn, Revoker::Operator(_)) => Ok(()),
        (RevocationReason::PrivilegeWithdrawn, _) => {
            Err(RevokeError::BadReason("privilegeWithdrawn is the operator's to say"))
        }
        (RevocationReason::CertificateHold, _) => {
            Err(RevokeError::BadReason("certificateHold could be lifted again; this cannot"))
        }
        (RevocationReason::CaCompromise | RevocationReason::AaCompromise, _) => {
            Err(RevokeError::BadReason("a CA's compromise is not a matter of one certificate"))
        }
    }
}

async fn ask_policy(
    inner: &Inner,
    request: &RevocationRequest,
    entry: &InventoryEntry,
    said: &mut Vec<Decision>,
) -> Result<(), RevokeError> {
    let context = &request.context;
    let session = Session::new(context, context.tenant.clone(), request.by.to_string());
    let names = entry.names.iter().map(|name| ("name".to_owned(), name.to_string()));
    let facts = [
        ("reason".to_owned(), request.reason.code().to_string()),
        ("issuer".to_owned(), entry.issuer.clone()),
        ("requester".to_owned(), entry.requester.clone()),
    ];
    let (facts, serial) = (facts.into_iter().chain(names).collect(), request.serial.to_string());
    // In a bulk revocation policy is asked about each certificate, and that may take long: the evidence is looked
    // at each time.
    let answer = inner.gate.decide(&session, OPERATION, &serial, facts).await;
    said.extend(answer.decisions);
    Ok(answer.result.map(drop)?)
}

async fn at_issuer(
    inner: &Inner,
    entry: &InventoryEntry,
    reason: RevocationReason,
    at: Timestamp,
) -> Result<(), Unavailable> {
    let (_, issuer) = inner.issuers.choose(Some(&entry.issuer))?;
    match issuer {
        Issuer::Private(ca) => {
            let certificate = ParsedCertificate::from_der(&entry.der)?;
            let issuer = certificate.authority_key_id().unwrap_or_default().to_owned();
            let InventoryEntry { serial, not_after, .. } = *entry;
            let revoked = RevokedCertificate { issuer, serial, not_after, reason, at };
            match ca.record_revocation(revoked).await {
                Err(chancery_ca::RevokeError::AlreadyRevoked(_)) => Ok(()),
                other => Ok(other?),
            }
        }
        Issuer::Upstream(upstream) => match upstream.revoke(&entry.der, reason).await {
            Err(UpstreamError::Refused { kind, .. }) if kind.ends_with(":alreadyRevoked") => Ok(()),
            other => Ok(other?),
        },
    }
}
