//! What acts on the whole installation, and so on every tenant: backups, the set of policies, the HSM's
//! tokens. The policies of a tenant decide about what is the tenant's. About the rest they decide for the one
//! tenant that administers the installation, and identities of the others are refused before any policy is
//! asked (`docs/decisions/administration.md`).

use std::sync::Arc;

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};

use crate::{Access, AccessError, Caller, Refusal};

/// Leave to act on the whole installation, once: an identity of the tenant that administers it asked, and the
/// policies allowed it. What acts on the installation takes one, so that nothing comes past
/// [`Access::administer`], which alone makes it.
#[derive(Debug)]
pub struct InstallationGrant(());

impl Access {
    /// Lets the identities of this tenant, and of no other, act on the whole installation, as far as the
    /// policies allow it. Without a call it is the default tenant.
    pub fn replace_administration(&self, tenant: TenantId) {
        self.administration.store(Arc::new(tenant));
    }

    /// Does what an administrator asks of the whole installation, if the caller is of the tenant that
    /// administers it and the policies allow it. `work` is short and does not block; it returns none if there
    /// is nothing with the name.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn administer<T>(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
        work: impl FnOnce(InstallationGrant) -> Option<T>,
    ) -> Result<T, AccessError> {
        let (grant, event) = self.may_administer(context, caller, operation, resource).await?;
        let done = work(grant);
        let event = if done.is_some() { event.succeeded() } else { event.failed("not-found") };
        self.audit.record(event).await?;
        done.ok_or(AccessError::NotFound)
    }

    /// Asks whose identity the caller is, and then the policies. A refusal is recorded and returned; after a
    /// permission the caller finishes the event.
    pub(crate) async fn may_administer(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
    ) -> Result<(InstallationGrant, Event), AccessError> {
        if caller.identity().tenant != **self.administration.load() {
            let refusal = Refusal::of_other_tenant(operation, resource);
            let event = caller.event(context, operation, resource);
            self.audit.record(refusal.recorded_in(event)).await?;
            return Err(refusal.into());
        }
        let event = self.may(context, caller, operation, resource).await?;
        Ok((InstallationGrant(()), event))
    }
}
