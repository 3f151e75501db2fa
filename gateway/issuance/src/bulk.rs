//! Revoking many certificates at once.

use std::sync::Arc;

use chancery_audit::Event;
use chancery_gate::Refused;
use chancery_identity::{Identity, RequestContext, Room};
use chancery_x509::RevocationReason;
use tokio::task::JoinSet;

use crate::{
    BulkError, Inner, RevocationRequest, RevokeError, Revoker, Search, Searched, Unavailable,
    revocation,
};

/// How many are found at once, and how many of them are under way at once: their commits and audit lines
/// share the disk.
const PAGE: usize = 256;
const AT_ONCE: usize = 32;

/// A question to revoke all certificates of a tenant that fit.
#[derive(Debug, Clone)]
pub struct BulkRevocation {
    /// The request from the outside that this belongs to; the certificates are its tenant's.
    pub context: RequestContext,
    /// Which certificates; it has to be [specific](Search::is_specific). Those that are revoked already
    /// are left as they are.
    pub search: Search,
    /// Why.
    pub reason: RevocationReason,
    /// Who asks. Policy is asked about each certificate.
    pub by: Identity,
}

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkOutcome {
    /// So many are revoked now.
    pub revoked: u64,
    /// So many policy or the rules kept.
    pub refused: u64,
    /// So many could not be revoked at the moment: ask again.
    pub failed: u64,
}

/// Revokes them, makes one CRL at the end, and has one audit line for each certificate and one for all.
#[tracing::instrument(name = "issuance.revoke_matching", skip_all, fields(request = %request.context.id))]
pub(crate) async fn run(
    inner: &Arc<Inner>,
    request: BulkRevocation,
) -> Result<BulkOutcome, BulkError> {
    let mut event = Event::new(&request.context, "certificates.revoke-matching", "")
        .detail("by", request.by.to_string())
        .detail("reason", request.reason.code());
    for (name, value) in request.search.facts() {
        event = event.detail(&name, value);
    }
    let result = all(inner, request).await;
    revocation::publish(inner).await;
    let event = match &result {
        Ok(outcome) => event
            .detail("revoked", outcome.revoked)
            .detail("refused", outcome.refused)
            .detail("failed", outcome.failed)
            .succeeded(),
        Err(error) => event.detail("error", error.to_string()).outcome(error.outcome()),
    };
    inner.gate.record(event).await.map_err(Unavailable::from)?;
    result
}

async fn all(inner: &Arc<Inner>, request: BulkRevocation) -> Result<BulkOutcome, BulkError> {
    let BulkRevocation { context, search, reason, by } = request;
    if !search.is_specific() {
        return Err(BulkError::Unspecific);
    }
    let search = Search { revoked: Some(false), ..search };
    let mut outcome = BulkOutcome::default();
    let mut after = None;
    loop {
        // It holds a page at a time, and the caller waits for it.
        let room = Room::unlimited();
        let inventory = &inner.inventory;
        let page = inventory.search(&context.tenant, &search, after.as_ref(), PAGE, &room).await;
        let Searched { entries: page, damaged } = page.map_err(Unavailable::from)?;
        // They may be among those that are meant.
        outcome.failed = outcome.failed.saturating_add(damaged.len() as u64);
        let Some(last) = page.last() else { return Ok(outcome) };
        after = Some(last.serial);
        let mut under_way = JoinSet::new();
        for entry in page {
            if under_way.len() == AT_ONCE
                && let Some(done) = under_way.join_next().await
            {
                outcome.count(&done.map_err(Unavailable::from)?);
            }
            let inner = Arc::clone(inner);
            let request = RevocationRequest {
                context: context.clone(),
                serial: entry.serial,
                reason,
                by: Revoker::Operator(by.clone()),
            };
            under_way.spawn(async move { revocation::run_one_of_many(&inner, request).await });
        }
        while let Some(done) = under_way.join_next().await {
            outcome.count(&done.map_err(Unavailable::from)?);
        }
    }
}

impl BulkOutcome {
    fn count(&mut self, result: &Result<(), RevokeError>) {
        let counter = match result {
            // Another was faster, or it went with another certificate for its key.
            Ok(()) | Err(RevokeError::AlreadyRevoked) => &mut self.revoked,
            Err(RevokeError::Unavailable(_)) => &mut self.failed,
            // The policies were not asked, or the audit log refuses lines.
            Err(RevokeError::Gate(Refused::Overloaded | Refused::Unrecorded(_))) => {
                &mut self.failed
            }
            Err(_) => &mut self.refused,
        };
        *counter = counter.saturating_add(1);
    }
}
