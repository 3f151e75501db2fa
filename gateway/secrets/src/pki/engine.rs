//! Lists, reads and revokes the certificates at a PKI mount.

use bytes::Bytes;
use chancery_access::Caller;
use chancery_gate::Authorized;
use chancery_identity::RequestContext;
use chancery_issuance::{
    BulkOutcome, BulkRevocation, InventoryEntry, Issuance, RevocationRequest, RevokeError, Revoker,
    Search, Searched,
};
use chancery_x509::{RevocationReason, Serial};

use super::PkiError;
use super::operations::{LIST, READ, RENEW, REVOKE, SIGN};
use crate::MountName;
use crate::environment::Environment;
use crate::mount::MountKind;

/// How many certificates are listed at once, at most.
pub const MAX_PAGE: usize = 10_000;

/// The certificates at one mount. Cheap; made per request by [`Secrets::pki`](crate::Secrets::pki).
///
/// The operations are to be run to their end: one whose future is dropped half-way may have been done
/// and not recorded.
pub struct Pki<'a> {
    pub(super) environment: &'a Environment,
    pub(super) issuance: Option<&'a Issuance>,
}

/// The certificates of the private CA, in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The issuing CA's.
    pub issuing: Vec<u8>,
    /// The root's.
    pub root: Vec<u8>,
    /// The issuing CA's complete CRL.
    pub crl: Bytes,
}

impl<'a> Pki<'a> {
    /// What can be done here, as policies name it.
    pub const OPERATIONS: [&'static str; 5] = [LIST, READ, REVOKE, RENEW, SIGN];

    pub(crate) fn new(
        environment: &'a Environment,
        issuance: Option<&'a Issuance>,
        mount: &MountName,
    ) -> Self {
        let is_here = environment.is_mounted(mount, MountKind::Pki);
        Self { environment, issuance: issuance.filter(|_| is_here) }
    }

    /// The certificates that fit, at most `limit` of them and [`MAX_PAGE`], in the order in which they
    /// expire, after the one with the serial number `after`: `certificates.list`, with what is looked for
    /// as attributes.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub async fn list(
        &self,
        context: &RequestContext,
        caller: &Caller,
        search: &Search,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Searched, PkiError> {
        let allowed = self.ask(context, caller, LIST, "", search.facts()).await?;
        let found = async {
            let issuance = self.issuance.ok_or(PkiError::NoMount)?;
            let limit = limit.min(MAX_PAGE);
            Ok(issuance.search(&context.tenant, search, after, limit, &context.room).await?)
        };
        let found = found.await;
        let count = |of: fn(&Searched) -> usize| found.as_ref().map_or(0, of) as u64;
        let (entries, damaged) =
            (count(|found| found.entries.len()), count(|found| found.damaged.len()));
        let allowed = allowed.detail("found", entries);
        let allowed = if damaged > 0 { allowed.detail("damaged", damaged) } else { allowed };
        allowed.finish(found).await
    }

    /// The certificate with this serial number: `certificates.read`.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub async fn read(
        &self,
        context: &RequestContext,
        caller: &Caller,
        serial: &Serial,
    ) -> Result<InventoryEntry, PkiError> {
        let allowed = self.ask(context, caller, READ, &serial.to_string(), vec![]).await?;
        let found = async {
            let issuance = self.issuance.ok_or(PkiError::NoMount)?;
            issuance.find(&context.tenant, serial).await?.ok_or(PkiError::NotFound)
        };
        let found = found.await;
        allowed.finish(found).await
    }

    /// The private CA's own certificates and CRL, if certificates are mounted here. They are public, so no policy is
    /// asked.
    pub fn authority(&self) -> Option<Authority> {
        let ca = self.issuance?.private_ca();
        Some(Authority {
            issuing: ca.issuing_der().to_vec(),
            root: ca.root_der().to_vec(),
            crl: ca.crl(),
        })
    }

    /// Revokes a certificate, `certificates.revoke`, and returns it as it is then. One that is revoked
    /// already is left as it is. With the reason `keyCompromise`, all of the tenant's certificates for its
    /// key go with it and the key is never certified again.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub async fn revoke(
        &self,
        context: &RequestContext,
        caller: &Caller,
        serial: Serial,
        reason: RevocationReason,
    ) -> Result<InventoryEntry, PkiError> {
        let Some(issuance) = self.issuance else {
            let resource = serial.to_string();
            let allowed = self.ask(context, caller, REVOKE, &resource, vec![]).await?;
            return allowed.finish(Err(PkiError::NoMount)).await;
        };
        // Asks the policies and writes the audit line itself, as for every other door.
        let by = Revoker::Operator(caller.identity().clone());
        let request = RevocationRequest { context: context.clone(), serial, reason, by };
        match issuance.revoke(request).await {
            Ok(()) | Err(RevokeError::AlreadyRevoked) => {}
            Err(error) => return Err(error.into()),
        }
        issuance.find(&context.tenant, &serial).await?.ok_or(PkiError::NotFound)
    }

    /// Revokes all certificates that fit; `certificates.revoke` is asked about each.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub async fn revoke_matching(
        &self,
        context: &RequestContext,
        caller: &Caller,
        search: Search,
        reason: RevocationReason,
    ) -> Result<BulkOutcome, PkiError> {
        let Some(issuance) = self.issuance else {
            let allowed = self.ask(context, caller, REVOKE, "", search.facts()).await?;
            return allowed.finish(Err(PkiError::NoMount)).await;
        };
        let by = caller.identity().clone();
        let request = BulkRevocation { context: context.clone(), search, reason, by };
        Ok(issuance.revoke_matching(request).await?)
    }

    async fn ask(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        resource: &str,
        facts: Vec<(String, String)>,
    ) -> Result<Authorized<'a>, PkiError> {
        let session = self.environment.session(context, caller);
        Ok(self.environment.gate().ask(&session, operation, resource, facts).await?)
    }
}
