//! For which tenant a certificate of the gateway's own CAs was issued. The certificate's names and the tenants'
//! rules say whom it stands for, and the rules may have changed since. A client with a certificate of one tenant
//! must not become a client of another tenant by such a change.

use std::sync::Arc;
use std::time::Duration;

use chancery_identity::{
    EvidenceError, Fingerprint, Identity, IdentityName, PeerCertificate, Settling, TenantId,
};
use chancery_store::ReadError;
use chancery_x509::{ParsedCertificate, Serial};
use jiff::Timestamp;
use quick_cache::sync::Cache;

use crate::record::InventoryEntry;
use crate::{Inner, Requester};

/// For how many certificates the owner is kept in memory. The owners of others are read again with the next
/// request.
const KEPT: usize = 50_000;

/// How long a request waits at most for the store.
const PATIENCE: Duration = Duration::from_secs(3);

/// The owners of certificates that clients have shown. An owner never changes, so it is forgotten only when
/// there is no more room.
pub(crate) struct Owners(Cache<Fingerprint, Owner>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    /// It was issued for this tenant, and stands for nobody of another tenant.
    Tenant(TenantId),
    /// The rules alone decide: the operator of the machine had it issued, or it is not in the inventory.
    Anybody,
}

/// What the look-up needs to know of a certificate.
struct Question {
    fingerprint: Fingerprint,
    /// The tenant whose rules recognise it.
    tenant: TenantId,
    serial: Serial,
    not_after: Timestamp,
    spki_sha256: String,
}

impl Owners {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Owner {
    fn of(entry: InventoryEntry) -> Self {
        // Somebody who can read the configuration and the store as the gateway does could do as much without the
        // certificate.
        let by_operator = entry.requester == Requester::Internal(Requester::OPERATOR).to_string();
        if by_operator { Self::Anybody } else { Self::Tenant(entry.tenant) }
    }
}

impl Inner {
    /// Whether the certificate is one of the gateway's own and is recognised by its names. A pinned certificate
    /// belongs to the tenant whose configuration pins it.
    fn is_own_with_names(&self, certificate: &PeerCertificate) -> bool {
        let pinned = |identity: &Identity| matches!(identity.name, IdentityName::Pinned(_));
        let issuer = &certificate.authority_key_id;
        certificate.identity.as_ref().is_ok_and(|identity| !pinned(identity))
            && self.issuers.all_private().any(|ca| ca.issuer_ids().any(|id| id == issuer))
    }

    /// See [`Issuance::check_owner`](crate::Issuance::check_owner).
    pub(crate) fn check_owner(&self, certificate: &PeerCertificate) -> Result<(), EvidenceError> {
        let Ok(identity) = &certificate.identity else { return Ok(()) };
        if !self.is_own_with_names(certificate) {
            return Ok(());
        }
        match self.owners.0.get(&certificate.fingerprint) {
            Some(Owner::Anybody) => Ok(()),
            Some(Owner::Tenant(tenant)) if tenant == identity.tenant => Ok(()),
            Some(Owner::Tenant(_)) => Err(EvidenceError::OfAnotherTenant),
            None => Err(EvidenceError::OwnerUnknown),
        }
    }

    /// See [`Issuance::settle_owner`](crate::Issuance::settle_owner).
    pub(crate) fn settle_owner(
        self: &Arc<Self>,
        certificate: &PeerCertificate,
    ) -> Option<Settling> {
        if !self.is_own_with_names(certificate)
            || self.owners.0.get(&certificate.fingerprint).is_some()
        {
            return None;
        }
        let question = Question::about(certificate)?;
        let inner = Arc::clone(self);
        Some(Box::pin(async move {
            match tokio::time::timeout(PATIENCE, inner.owner(&question)).await {
                Ok(Ok(owner)) => inner.owners.0.insert(question.fingerprint, owner),
                Ok(Err(error)) => {
                    tracing::error!(%error, "it cannot be read for whom a client certificate was issued");
                }
                Err(_) => tracing::error!(
                    "the store does not say for whom a client certificate was issued"
                ),
            }
        }))
    }

    async fn owner(&self, question: &Question) -> Result<Owner, ReadError> {
        let Question { tenant, serial, fingerprint, .. } = question;
        // The usual case: only one record is read.
        if let Some((entry, _)) = self.inventory.find(tenant, serial).await?
            && entry.fingerprint == *fingerprint
        {
            return Ok(Owner::of(entry));
        }
        let Question { spki_sha256, not_after, .. } = question;
        for other in self.inventory.tenants_of(spki_sha256, *not_after, serial).await? {
            if let Some((entry, _)) = self.inventory.find(&other, serial).await?
                && entry.fingerprint == *fingerprint
            {
                return Ok(Owner::of(entry));
            }
        }
        Ok(Owner::Anybody)
    }
}

impl Question {
    fn about(certificate: &PeerCertificate) -> Option<Self> {
        // A certificate that cannot be read here was not verified either.
        let parsed = ParsedCertificate::from_der(&certificate.der).ok()?;
        Some(Self {
            fingerprint: certificate.fingerprint,
            tenant: certificate.identity.as_ref().ok()?.tenant.clone(),
            serial: *parsed.serial(),
            not_after: parsed.not_after(),
            spki_sha256: hex::encode(parsed.public_key().ok()?.fingerprint()),
        })
    }
}
