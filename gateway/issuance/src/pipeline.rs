//! The steps of issuance: check the key, ask policy, prepare, record the intent, sign, store, audit.

use std::sync::Arc;
use std::time::Instant;

use chancery_audit::{Decision, Event, NameList};
use chancery_ca::{Ca, PrepareError, Prepared};
use chancery_gate::Session;
use chancery_identity::Fingerprint;
use chancery_store::Commit;
use chancery_upstream::{AcmeUpstream, Kept};
use chancery_x509::{GeneralName, ParsedCertificate};
use jiff::Timestamp;

use crate::inventory::{self, Signing};
use crate::issuers::Issuer;
use crate::proposal::Proposal;
use crate::record::{Intent, InventoryEntry};
use crate::{
    Inner, IssuanceRequest, IssueError, IssuedCertificate, Requester, Unavailable,
    certificate_facts, dates,
};

const OPERATION: &str = "certificates.issue";

/// Takes a request through all steps. Success and failure alike are on the audit record when this
/// returns.
#[tracing::instrument(name = "issuance.issue", skip_all, fields(request = %request.context.id))]
pub(crate) async fn run(
    inner: &Inner,
    request: IssuanceRequest,
) -> Result<IssuedCertificate, IssueError> {
    let started = Instant::now();
    let mut said = Vec::new();
    let result = issue(inner, &request, &mut said).await;
    metrics::histogram!("chancery_issuance_issue_seconds").record(started.elapsed());
    let result_label = if result.is_ok() { "issued" } else { "refused" };
    metrics::counter!("chancery_issuance_requests_total", "result" => result_label).increment(1);
    let event = event(&request, said, &result);
    let recorded = match &result {
        // An order that is ready takes any number of CSRs that are refused, and accounts cost nothing.
        Err(error) if error.is_refusal() && request.order.is_some() => {
            inner.gate.record_unsuccessful(&request.context, event).await
        }
        _ => inner.gate.record(event).await,
    };
    recorded.map_err(Unavailable::from)?;
    let Stored { entry, above, kept } = result?;
    Ok(IssuedCertificate {
        serial: entry.serial,
        chain: std::iter::once(entry.der.clone()).chain(above).collect(),
        der: entry.der,
        not_before: entry.not_before,
        not_after: entry.not_after,
        kept,
    })
}

/// A certificate that is in the inventory.
struct Stored {
    entry: InventoryEntry,
    above: Vec<Vec<u8>>,
    /// What the requester's order deletes once it has the certificate.
    kept: Option<Kept>,
}

async fn issue(
    inner: &Inner,
    request: &IssuanceRequest,
    said: &mut Vec<Decision>,
) -> Result<Stored, IssueError> {
    let now = inner.clock.now();
    check_key(inner, request).await?;
    let approved = approve(inner, request, now, said).await?;
    let ready = approved.prepare(inner, request, now)?;
    let recorded = ready.record(inner, request, now).await?;
    let signed = recorded.sign(inner, request).await?;
    signed.store(inner, request).await
}

async fn check_key(inner: &Inner, request: &IssuanceRequest) -> Result<(), IssueError> {
    let key = request.csr.public_key();
    inner.strength(key).await??;
    if inner.inventory.is_blocked(key).await.map_err(Unavailable::from)? {
        return Err(IssueError::CompromisedKey);
    }
    Ok(())
}

/// The requester's session at the gate.
fn session(request: &IssuanceRequest) -> Session<'_> {
    let IssuanceRequest { context, requester, .. } = request;
    Session::new(context, context.tenant.clone(), requester.to_string())
}

/// What policy allows, within what the requester has proved.
struct Approved(Proposal);

async fn approve(
    inner: &Inner,
    request: &IssuanceRequest,
    now: Timestamp,
    said: &mut Vec<Decision>,
) -> Result<Approved, IssueError> {
    let session = session(request);
    session.still_holds(OPERATION, "")?;
    let validity = dates::requested(request, now)?;
    let facts = certificate_facts(request, validity)?;
    let answer = inner.gate.decide_certificate(&session, OPERATION, &facts).await;
    said.extend(answer.decisions);
    let template = answer.result.inspect_err(|refused| {
        if let Some(denied) = refused.denied() {
            tracing::info!(code = denied.code, audit = denied.reason, "the certificate was denied");
        }
    })?;
    let proposal = Proposal::accept(template, request, validity, now)?;
    proposal.check_tenant(&request.context.tenant, &inner.tenants)?;
    Ok(Approved(proposal))
}

/// An approved certificate with its issuer, linted where this gateway builds it.
struct Ready {
    proposal: Proposal,
    issuer: String,
    by: Preparation,
}

enum Preparation {
    Private(Arc<Ca>, Prepared),
    Upstream(Arc<AcmeUpstream>),
}

impl Approved {
    fn prepare(
        self,
        inner: &Inner,
        request: &IssuanceRequest,
        now: Timestamp,
    ) -> Result<Ready, IssueError> {
        let Self(proposal) = self;
        let (issuer, chosen) = inner.issuers.choose(proposal.issuer.as_deref())?;
        let by = match chosen {
            Issuer::Private(ca) => {
                let prepared = ca.prepare(proposal.for_private_ca(request), now);
                let prepared = prepared.map_err(|error| match error {
                    PrepareError::Validity { .. } if request.not_before.is_some() => {
                        IssueError::Dates("it would begin when the issuing CA has ended")
                    }
                    other => other.into(),
                })?;
                Preparation::Private(ca, prepared)
            }
            Issuer::Upstream(upstream) => {
                proposal.check_for_upstream(request)?;
                Preparation::Upstream(upstream)
            }
        };
        Ok(Ready { proposal, issuer, by })
    }
}

/// A certificate that is on record: only now may it be signed.
struct Recorded {
    names: Vec<GeneralName>,
    by: Preparation,
    signing: Signing,
}

impl Ready {
    async fn record(
        self,
        inner: &Inner,
        request: &IssuanceRequest,
        now: Timestamp,
    ) -> Result<Recorded, IssueError> {
        let Self { proposal, issuer, by } = self;
        let prepared = match &by {
            Preparation::Private(_, prepared) => Some(prepared),
            Preparation::Upstream(_) => None,
        };
        let serial = prepared.map(|prepared| *prepared.serial());
        let content_sha256 = prepared.map(Prepared::digest);
        let names: Vec<GeneralName> = proposal.names.into_iter().collect();
        let intent = Intent {
            tenant: request.context.tenant.clone(),
            issuer,
            requester: request.requester.to_string(),
            profile: proposal.profile,
            names: names.clone(),
            spki_sha256: hex::encode(request.csr.public_key().fingerprint()),
            serial,
            content_sha256,
            began: now,
            abandoned: None,
        };
        let signing = inner.inventory.begin(intent).await.map_err(Unavailable::from)?;
        Ok(Recorded { names, by, signing })
    }
}

/// A signed certificate. Nobody has seen it yet.
struct Signed {
    signing: Signing,
    certificate: ParsedCertificate,
    /// The certificates above it, without the root.
    above: Vec<Vec<u8>>,
    /// By what another CA's certificate is found again.
    kept: Option<Kept>,
}

impl Recorded {
    async fn sign(self, inner: &Inner, request: &IssuanceRequest) -> Result<Signed, IssueError> {
        let Self { names, by, signing } = self;
        match sign(by, request, &names, signing.intent()).await {
            Ok((certificate, above, kept)) => Ok(Signed { signing, certificate, above, kept }),
            Err(error) => {
                if let Err(left) = inner.inventory.abandon(signing, &error.to_string()).await {
                    tracing::warn!(%left, "a failed certificate stays on record as being signed until the next start");
                }
                Err(error)
            }
        }
    }
}

async fn sign(
    by: Preparation,
    request: &IssuanceRequest,
    names: &[GeneralName],
    intent: &Intent,
) -> Result<(ParsedCertificate, Vec<Vec<u8>>, Option<Kept>), IssueError> {
    let (der, chain, kept) = match by {
        Preparation::Private(ca, prepared) => {
            let issued = ca.sign(prepared).await.map_err(Unavailable::from)?;
            (issued.der, issued.chain, None)
        }
        Preparation::Upstream(upstream) => {
            let purpose = request.purpose();
            let (issued, kept) = upstream.issue(&request.csr, names, &purpose).await?;
            (issued.leaf().der().to_vec(), issued.chain().to_vec(), Some(kept))
        }
    };
    let certificate = ParsedCertificate::from_der(&der).map_err(Unavailable::from)?;
    // The recorded serial number is what an incident is investigated by.
    if intent.serial.is_some_and(|serial| serial != *certificate.serial()) {
        return Err(Unavailable::OtherSerial.into());
    }
    let above = chain.into_iter().filter(|other| *other != der).collect();
    Ok((certificate, above, kept))
}

impl Signed {
    async fn store(self, inner: &Inner, request: &IssuanceRequest) -> Result<Stored, IssueError> {
        let Self { signing, certificate, above, kept } = self;
        if kept.is_some()
            && let Some(entry) = earlier(inner, signing.intent(), &certificate).await?
        {
            if let Err(left) = inner.inventory.abandon(signing, "it was stored before").await {
                tracing::warn!(%left, "a certificate that is stored stays on record as being signed until the next start");
            }
            return Ok(Stored { entry, above, kept });
        }
        let intent = signing.intent().clone();
        let entry = InventoryEntry {
            serial: *certificate.serial(),
            tenant: intent.tenant,
            issuer: intent.issuer,
            requester: intent.requester,
            profile: intent.profile,
            names: certificate.names().to_vec(),
            fingerprint: Fingerprint::of_certificate(certificate.der()),
            spki_sha256: intent.spki_sha256,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            issued_at: inner.clock.now(),
            der: certificate.der().to_vec(),
            chain: inventory::chain_name(&above),
            revoked: None,
        };
        // Another request for the order has to find it until the order has it.
        let (kept, done) = if request.order.is_some() { (kept, None) } else { (None, kept) };
        let commit = done.map_or_else(Commit::new, |done| done.forget(Commit::new()));
        let stored = inner.inventory.complete(signing, &entry, &above, commit).await;
        stored.map_err(Unavailable::from)?;
        inner.counts.catch_up().await;
        Ok(Stored { entry, above, kept })
    }
}

/// The entry of the certificate, if an earlier request for the same has stored it and nobody was told: the gateway or
/// its store failed afterwards.
async fn earlier(
    inner: &Inner,
    intent: &Intent,
    certificate: &ParsedCertificate,
) -> Result<Option<InventoryEntry>, IssueError> {
    let found = inner.inventory.find(&intent.tenant, certificate.serial()).await;
    let found = found.map_err(Unavailable::from)?.map(|(entry, _)| entry);
    Ok(found.filter(|entry| {
        entry.der == certificate.der()
            && entry.issuer == intent.issuer
            && entry.requester == intent.requester
    }))
}

fn event(
    request: &IssuanceRequest,
    said: Vec<Decision>,
    result: &Result<Stored, IssueError>,
) -> Event {
    let key = hex::encode(request.csr.public_key().fingerprint());
    let event = if let Ok(Stored { entry, .. }) = result {
        // What was certified is said in full: the log outlives the inventory.
        let names: Vec<String> = entry.names.iter().map(ToString::to_string).collect();
        Event::new(&request.context, OPERATION, names.join(","))
    } else {
        let names = NameList::new(request.csr.names().iter().map(ToString::to_string));
        Event::about_names(&request.context, OPERATION, &names)
    };
    let mut event = event
        .decisions(said)
        .detail("requester", request.requester.to_string())
        .detail("spki_sha256", key);
    if let Requester::AcmeAccount { id } = &request.requester {
        event = event.account(id.clone());
    }
    match result {
        Ok(Stored { entry, .. }) => event
            .detail("serial", entry.serial.to_string())
            .detail("issuer", entry.issuer.clone())
            .detail("profile", entry.profile.clone())
            .detail("fingerprint", entry.fingerprint.to_string())
            .detail("not_after", entry.not_after.to_string())
            .succeeded(),
        Err(error) => event.detail("reason", error.to_string()).outcome(error.outcome()),
    }
}
