//! The one pipeline that every certificate passes, whoever asks for it.
//!
//! weak key → policy → names ⊆ validated names → choose issuer → prepare and lint → record → sign →
//! store → audit → answer. Each step takes what the step before gives and nothing else, so none can
//! be left out. A plugin proposes; what it proposes is cut down here to what may be certified.
//!
//! Beside it: the inventory of what was issued, by serial number, requester and key; and revocation,
//! which asks policy too.

mod counts;
mod error;
mod facts;
mod inventory;
mod issuers;
mod pipeline;
mod proposal;
mod record;
mod recovery;
mod request;
mod revocation;

use std::sync::Arc;

use chancery_audit::{Audit, Decision};
use chancery_identity::{Clock, TenantId};
use chancery_policy::{Evaluation, PolicyHost};
use chancery_store::{Key, ReadError, SharedStore};
use chancery_x509::Serial;
use tracing::Instrument as _;

pub use counts::IssuedCounts;
pub use error::{IssueError, OpenError, RevokeError, Unavailable};
pub use issuers::{Issuers, UnknownIssuer};
pub use record::{InventoryEntry, Revocation};
pub use request::{IssuanceRequest, IssuedCertificate, Requester, ValidatedName};
pub use revocation::{RevocationRequest, Revoker};

use inventory::Inventory;

/// Issues, finds and revokes certificates. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Issuance(Arc<Inner>);

struct Inner {
    issuers: Issuers,
    policy: PolicyHost,
    inventory: Inventory,
    counts: Arc<IssuedCounts>,
    audit: Audit,
    clock: Clock,
}

impl Issuance {
    /// Puts the pipeline together, and settles what an earlier process left between recording and
    /// storing: such a certificate was never handed out and never will be. `counts` are of the same
    /// store; they exist before, because the policies may look them up.
    ///
    /// # Errors
    /// The default issuer is not among the issuers, or what was left could not be settled.
    pub async fn open(
        issuers: Issuers,
        policy: PolicyHost,
        store: SharedStore,
        counts: Arc<IssuedCounts>,
        audit: Audit,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        issuers.choose(None)?;
        let inventory = Inventory::new(store);
        recovery::settle(&inventory, &audit, &clock).await?;
        Ok(Self(Arc::new(Inner { issuers, policy, inventory, counts, audit, clock })))
    }

    /// Issues a certificate, or says why not. Once called it runs to its end even if the future is
    /// dropped, so that nothing is signed that is not recorded.
    ///
    /// # Errors
    /// No certificate leaves the gateway; see [`IssueError`]. If only the audit log refused, the
    /// certificate is in the inventory and is not handed out all the same.
    pub async fn issue(&self, request: IssuanceRequest) -> Result<IssuedCertificate, IssueError> {
        let inner = Arc::clone(&self.0);
        let work = async move { pipeline::run(&inner, request).await };
        tokio::spawn(work.in_current_span())
            .await
            .unwrap_or_else(|error| Err(Unavailable::from(error).into()))
    }

    /// Revokes a certificate. Once called it runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke(&self, request: RevocationRequest) -> Result<(), RevokeError> {
        let inner = Arc::clone(&self.0);
        let work = async move { revocation::run(&inner, request).await };
        tokio::spawn(work.in_current_span())
            .await
            .unwrap_or_else(|error| Err(Unavailable::from(error).into()))
    }

    /// The certificate with this serial number, if this tenant has it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find(
        &self,
        tenant: &TenantId,
        serial: &Serial,
    ) -> Result<Option<InventoryEntry>, ReadError> {
        let found = self.0.inventory.find(tenant, serial).await?;
        Ok(found.map(|(entry, _)| entry))
    }

    /// The certificate with this serial number in the form in which it was answered, with its chain.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn certificate(
        &self,
        tenant: &TenantId,
        serial: &Serial,
    ) -> Result<Option<IssuedCertificate>, ReadError> {
        match self.find(tenant, serial).await? {
            Some(entry) => Ok(Some(self.0.inventory.with_chain(entry).await?)),
            None => Ok(None),
        }
    }

    /// Certificates that this requester got, in the order of their serial numbers: at most `limit`,
    /// beginning after `after`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn issued_to(
        &self,
        tenant: &TenantId,
        requester: &Requester,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<InventoryEntry>, ReadError> {
        let index = inventory::by_requester(tenant, &requester.to_string());
        self.0.inventory.list(tenant, &index, after, limit).await
    }

    /// Certificates for the key whose `SubjectPublicKeyInfo` has this SHA-256, as
    /// [`issued_to`](Self::issued_to) lists them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn issued_for_key(
        &self,
        tenant: &TenantId,
        spki_sha256: &[u8; 32],
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<InventoryEntry>, ReadError> {
        let index = inventory::by_key(tenant, &hex::encode(spki_sha256));
        self.0.inventory.list(tenant, &index, after, limit).await
    }

    /// Whether the private CA with this key identifier (lower-case hex) has revoked the certificate
    /// with this serial number (hex). Answered from memory. Certificates of other CAs are not known
    /// here: false.
    pub fn is_revoked(&self, authority_key_id: &str, serial: &str) -> bool {
        self.0.issuers.is_revoked(authority_key_id, serial)
    }
}

impl std::fmt::Debug for Issuance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuance").field("issuers", &self.0.issuers).finish_non_exhaustive()
    }
}

/// What policies said, in the words of the audit log.
pub fn decisions(evaluations: Vec<Evaluation>) -> impl Iterator<Item = Decision> {
    evaluations.into_iter().map(|evaluation| Decision {
        binding: evaluation.binding,
        plugin: evaluation.plugin,
        digest: evaluation.digest,
        version: evaluation.version,
        micros: evaluation.micros,
        outcome: evaluation.outcome,
        detail: evaluation.detail,
    })
}

/// A key whose parts are known to be short enough.
fn store_key(text: String) -> Result<Key, ReadError> {
    Ok(Key::new(text)?)
}
