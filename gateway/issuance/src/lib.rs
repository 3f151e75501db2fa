//! The one pipeline that every certificate passes, over every API.
//!
//! weak key → policy → names ⊆ validated names → choose issuer → prepare and lint → record → sign → store → audit →
//! answer. Each step takes only the result of the step before it, so no step can be left out. A plugin proposes; the
//! pipeline reduces the proposal to what may be certified.
//!
//! Also here: the inventory of issued certificates, by serial number, requester and key; and revocation, which asks
//! policy too.

mod bulk;
mod counts;
mod dates;
mod error;
mod expiry;
mod facts;
mod index;
mod inventory;
mod issuers;
mod ownership;
mod pipeline;
mod proposal;
mod record;
mod recovery;
mod reindex;
mod repair;
mod request;
mod revocation;
mod search;
mod ssh;
mod ssh_issuer;

use std::sync::Arc;
use std::time::Duration;

use chancery_audit::Audit;
use chancery_ca::{Ca, SshCa};
use chancery_compute::Compute;
use chancery_gate::Gate;
use chancery_identity::{Clock, EvidenceError, PeerCertificate, Room, Settling, TenantId, Tenants};
use chancery_policy::PolicyHost;
use chancery_records::Fence;
use chancery_store::{Key, ReadError, SharedStore};
use chancery_x509::{GeneralName, ParsedCertificate, PublicKey, Serial, WeakKey};
use jiff::Timestamp;
use tracing::Instrument as _;

pub use bulk::{BulkOutcome, BulkRevocation};
pub use counts::IssuedCounts;
pub use error::{BulkError, IssueError, OpenError, RevokeError, Unavailable};
pub use facts::certificate_facts;
pub use issuers::{Issuers, UnknownIssuer};
pub use record::{InventoryEntry, Revocation};
pub use repair::{certificate_of, is_index, reindex, remake};
pub use request::{AcmeOrder, IssuanceRequest, IssuedCertificate, Requester, ValidatedName};
pub use revocation::{RevocationRequest, Revoker};
pub use search::{Search, SearchError, Searched};
pub use ssh::{SshError, SshIssued, SshRequest};
pub use ssh_issuer::SshIssuer;

use inventory::Inventory;
use ownership::Owners;

/// Longer than a gateway needs from recording a certificate until it is signed and stored: the gateway gives up
/// earlier on an HSM or another CA that takes longer.
pub const LONGEST_SIGNING: Duration = Duration::from_mins(10);

/// How long it stays on record that a certificate was abandoned.
const KEEP_ABANDONED: Duration = Duration::from_hours(30 * 24);

/// Issues, finds and revokes certificates. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Issuance(Arc<Inner>);

struct Inner {
    issuers: Issuers,
    gate: Gate,
    inventory: Inventory,
    counts: Arc<IssuedCounts>,
    /// The rules by which tenants recognise client certificates.
    tenants: Tenants,
    /// The tenants for which the clients' certificates were issued.
    owners: Owners,
    clock: Clock,
    compute: Compute,
}

impl Inner {
    /// Checks the strength of a key; on a compute thread if that may take long.
    async fn strength(&self, key: &PublicKey) -> Result<Result<(), WeakKey>, Unavailable> {
        if !key.algorithm().is_expensive() {
            return Ok(key.check_strength());
        }
        let key = key.clone();
        Ok(self.compute.run(move || key.check_strength()).await?)
    }
}

impl Issuance {
    /// Puts the pipeline together. `counts` use the same store; they exist before the pipeline, because policies may
    /// look them up. Upgrades older indexes in the inventories of these tenants to this version.
    ///
    /// # Errors
    /// The default issuer is not among the issuers, or an inventory could not be indexed.
    pub async fn open(
        issuers: Issuers,
        policy: PolicyHost,
        store: SharedStore,
        counts: Arc<IssuedCounts>,
        audit: Audit,
        clock: Clock,
        tenants: &Tenants,
    ) -> Result<Self, OpenError> {
        issuers.choose(None)?;
        let inventory = Inventory::new(store);
        for tenant in tenants.all().iter() {
            inventory.reindex(tenant).await.map_err(OpenError::Reindex)?;
        }
        let compute = Compute::default();
        Ok(Self(Arc::new(Inner {
            issuers,
            gate: Gate::new(policy, audit),
            inventory,
            counts,
            tenants: tenants.clone(),
            owners: Owners::new(),
            clock,
            compute,
        })))
    }

    /// Settles certificates that a process had recorded but not stored when it ended: such a certificate was never
    /// handed out and never will be. `signing` is how long other gateways may still be signing certificates that
    /// they recorded. It is zero for the only gateway on its store if it has issued nothing yet, otherwise
    /// [`LONGEST_SIGNING`]. Returns how many certificates there were.
    ///
    /// # Errors
    /// The store or the audit log fails, or the lease was lost; what was settled before stays settled.
    pub async fn settle_interrupted(
        &self,
        signing: Duration,
        fence: &Fence,
    ) -> Result<usize, OpenError> {
        let inner = &self.0;
        let now = inner.clock.now();
        // A certificate that begins at this very moment is not interrupted either.
        let began_before = if signing.is_zero() { Timestamp::MAX } else { now - signing };
        let audit = inner.gate.audit();
        recovery::settle(&inner.inventory.under(fence), audit, &inner.clock, began_before).await
    }

    /// Removes what is on record of certificates that were abandoned more than 30 days ago. Returns how many there were.
    ///
    /// # Errors
    /// The store fails, or the lease was lost; what was removed before stays removed.
    pub async fn forget_abandoned(&self, fence: &Fence) -> Result<u64, OpenError> {
        let inner = &self.0;
        let until = inner.clock.now().checked_sub(KEEP_ABANDONED).unwrap_or(Timestamp::MIN);
        Ok(inner.inventory.under(fence).forget_abandoned(until).await?)
    }

    /// Makes the indexes of this version for the inventory of a tenant that was added after the start.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn add_tenant(&self, tenant: &TenantId) -> Result<(), OpenError> {
        self.0.inventory.reindex(tenant).await.map_err(OpenError::Reindex)
    }

    /// Issues a certificate, or says why not. Once called it runs to its end even if the future is
    /// dropped, so that nothing is signed that is not recorded.
    ///
    /// # Errors
    /// No certificate leaves the gateway; see [`IssueError`]. If only the audit log refused, the certificate is in
    /// the inventory, but is not handed out either.
    pub async fn issue(&self, request: IssuanceRequest) -> Result<IssuedCertificate, IssueError> {
        let inner = Arc::clone(&self.0);
        let work = async move { pipeline::run(&inner, request).await };
        tokio::spawn(work.in_current_span())
            .await
            .unwrap_or_else(|error| Err(Unavailable::from(error).into()))
    }

    /// Checks whether requested dates are possible, as far as that can be known before policy says how long a
    /// certificate may be valid.
    ///
    /// # Errors
    /// [`IssueError::Dates`]: [`issue`](Self::issue) would refuse them.
    pub fn check_dates(
        &self,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
    ) -> Result<(), IssueError> {
        dates::check(not_before, not_after, self.0.clock.now())
    }

    /// Whether one of the issuers may certify this name, as far as the private CAs' own certificates tell (name
    /// constraints, RFC 5280 §4.2.1.10). The limits of other CAs are not known here.
    ///
    /// # Errors
    /// [`IssueError::NotPermitted`]: [`issue`](Self::issue) would refuse it, whichever issuer policy chooses.
    pub fn check_permitted(&self, name: &GeneralName) -> Result<(), IssueError> {
        let issuers = &self.0.issuers;
        if !issuers.upstreams.is_empty() || issuers.all_private().any(|ca| ca.permits(name)) {
            return Ok(());
        }
        Err(IssueError::NotPermitted(name.clone()))
    }

    /// Issues a certificate for SSH, or says why not. Once called it runs to its end even if the future is
    /// dropped.
    ///
    /// # Errors
    /// See [`SshError`].
    pub async fn sign_ssh(&self, request: SshRequest) -> Result<SshIssued, SshError> {
        let inner = Arc::clone(&self.0);
        let work = async move { ssh::run(&inner, request).await };
        tokio::spawn(work.in_current_span())
            .await
            .unwrap_or_else(|error| Err(Unavailable::from(error).into()))
    }

    /// The CA for SSH, if there is one.
    pub fn ssh_ca(&self) -> Option<&SshCa> {
        self.0.issuers.ssh.as_ref().map(|issuer| &*issuer.ca)
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

    /// Further chains of a certificate of a private CA, in the form of [`IssuedCertificate::chain`], for
    /// clients that trust other roots than the one it leads to (RFC 8555 §7.4.2).
    pub fn alternate_chains(&self, issued: &IssuedCertificate) -> Vec<Vec<Vec<u8>>> {
        let Ok(leaf) = ParsedCertificate::from_der(&issued.der) else { return vec![] };
        let issuer = leaf.authority_key_id().unwrap_or_default();
        let now = self.0.clock.now();
        let above = self.0.issuers.all_private().flat_map(|ca| ca.alternate_chains(issuer, now));
        above.map(|above| [std::slice::from_ref(&issued.der), above].concat()).collect()
    }

    /// Revokes all certificates that match the search; policy is asked about each. Once called it runs to its end
    /// even if the future is dropped.
    ///
    /// # Errors
    /// The request does not say which certificates, or the search failed. The outcome says what happened to each
    /// certificate.
    pub async fn revoke_matching(&self, request: BulkRevocation) -> Result<BulkOutcome, BulkError> {
        let inner = Arc::clone(&self.0);
        let work = async move { bulk::run(&inner, request).await };
        tokio::spawn(work.in_current_span())
            .await
            .unwrap_or_else(|error| Err(Unavailable::from(error).into()))
    }

    /// The tenant's certificates that match the search, in the order in which they expire (by name first in a search
    /// by domain): at most `limit`, beginning after the one with the serial number `after`.
    ///
    /// # Errors
    /// The store cannot be read, `after` does not match the search, or there is no room for that many.
    pub async fn search(
        &self,
        tenant: &TenantId,
        search: &Search,
        after: Option<&Serial>,
        limit: usize,
        room: &Room,
    ) -> Result<Searched, SearchError> {
        self.0.inventory.search(tenant, search, after, limit, room).await
    }

    /// Counts the tenant's valid certificates, those that end within a day, a week and a month, and those
    /// that end without having been replaced, and sets the gauges `chancery_issuance_certificates_…`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn survey(&self, tenant: &TenantId) -> Result<(), ReadError> {
        expiry::survey(&self.0, tenant).await
    }

    /// Removes the tenant's certificates that ended longer ago than `keep`, with their revocations, and returns how
    /// many there were. The audit log keeps their serial numbers.
    ///
    /// # Errors
    /// The store or the audit log fails, or the lease was lost; what was removed before stays removed.
    pub async fn prune(
        &self,
        tenant: &TenantId,
        keep: Duration,
        fence: &Fence,
    ) -> Result<u64, Unavailable> {
        expiry::prune(&self.0, tenant, keep, fence).await
    }

    /// The private CA, for its certificates and CRLs.
    pub fn private_ca(&self) -> &Ca {
        &self.0.issuers.private
    }

    /// Whether the private CA with this key identifier (lower-case hex) has revoked the certificate with this serial
    /// number (hex). Answers from memory. Returns false for certificates of other CAs, which are not known here.
    pub fn is_revoked(&self, authority_key_id: &str, serial: &str) -> bool {
        self.0.issuers.is_revoked(authority_key_id, serial)
    }

    /// Checks that a client certificate of a private CA was issued for the tenant whose rules recognise its names.
    /// Answers from memory, from what [`settle_owner`](Self::settle_owner) found out. Does not refuse certificates
    /// of other CAs, pinned ones, and ones that are not in the inventory.
    ///
    /// # Errors
    /// It was issued for another tenant, or the tenant is not known yet.
    pub fn check_owner(&self, certificate: &PeerCertificate) -> Result<(), EvidenceError> {
        self.0.check_owner(certificate)
    }

    /// Finds out for which tenant a client certificate was issued. None if there is nothing to find out.
    pub fn settle_owner(&self, certificate: &PeerCertificate) -> Option<Settling> {
        self.0.settle_owner(certificate)
    }
}

impl std::fmt::Debug for Issuance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuance").field("issuers", &self.0.issuers).finish_non_exhaustive()
    }
}

/// Makes a key from parts that are known to be short enough.
fn store_key(text: String) -> Result<Key, ReadError> {
    Ok(Key::new(text)?)
}
