//! What acts on the whole installation, and so on every tenant: backups, the set of policies, the HSM's
//! tokens. The policies of a tenant decide about what is the tenant's. About the rest they decide for the one
//! tenant that administers the installation, and identities of the others are refused before any policy is
//! asked (`docs/decisions/administration.md`).

use std::sync::Arc;

use chancery_gate::{Authorized, Denied, Refused};
use chancery_identity::{RequestContext, TenantId};

use crate::{Access, AccessError, Caller};

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
        let (grant, authorized) = self.may_administer(context, caller, operation, resource).await?;
        let done = work(grant);
        match &done {
            Some(_) => authorized.succeeded().await?,
            None => authorized.failed("not-found").await?,
        }
        done.ok_or(AccessError::NotFound)
    }

    /// Asks whose identity the caller is, and then the policies. A refusal is recorded.
    pub(crate) async fn may_administer(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
    ) -> Result<(InstallationGrant, Authorized<'_>), Refused> {
        if caller.identity().tenant != **self.administration.load() {
            let refused = Refused::from(of_other_tenant().about(operation, resource));
            let event = caller.event(context, operation, resource);
            self.gate.record(refused.recorded_in(event)).await?;
            return Err(refused);
        }
        let authorized = self.may(context, caller, operation, resource).await?;
        Ok((InstallationGrant(()), authorized))
    }

    /// Asks the policies. A refusal is recorded.
    pub(crate) async fn may(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
    ) -> Result<Authorized<'_>, Refused> {
        let session = self.session_of(context, caller);
        self.gate.ask(&session, operation.to_owned(), resource, vec![]).await
    }
}

/// What identities of other tenants than the one that administers the installation may not, whatever their
/// policies would say.
fn of_other_tenant() -> Denied {
    Denied::new(
        "not-administration-tenant",
        "this acts on all tenants: use an identity of the tenant that administers the installation \
         (`administration.tenant` in its configuration)",
    )
}
