//! The tenants of the current configuration, with their identity rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{CertificateNames, IdentityName, IdentityRules, TenantId};

/// The tenants of the current configuration. Clones share one view, so work that is done for each tenant
/// (sweeps, status of certificates, unfinished orders) follows a reload.
///
/// The gateway's own tenant is always among them, since it holds the gateway's own certificates.
#[derive(Debug, Clone)]
pub struct Tenants(Arc<ArcSwap<View>>);

#[derive(Debug)]
struct View {
    ids: Arc<BTreeSet<TenantId>>,
    rules: IdentityRules,
}

impl Tenants {
    /// These, and the gateway's own. They recognise nobody.
    pub fn new(tenants: impl IntoIterator<Item = TenantId>) -> Self {
        Self::with_rules(tenants, IdentityRules::default())
    }

    /// These, and the gateway's own, with the rules by which they recognise client certificates.
    pub fn with_rules(tenants: impl IntoIterator<Item = TenantId>, rules: IdentityRules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(View { ids: Arc::new(with_own(tenants)), rules })))
    }

    /// The current tenants, in the order of their ids.
    pub fn all(&self) -> Arc<BTreeSet<TenantId>> {
        Arc::clone(&self.0.load().ids)
    }

    /// The first of these names by which another tenant than this one would recognise a client
    /// certificate.
    pub fn name_of_another(
        &self,
        tenant: &TenantId,
        names: &CertificateNames,
    ) -> Option<IdentityName> {
        self.0.load().rules.name_of_another(tenant, names)
    }

    /// The tenant that recognises a client by these names.
    pub fn recognising(&self, names: &CertificateNames) -> Option<TenantId> {
        self.0.load().rules.tenant_of(names)
    }

    /// Replaces the tenants by these and the gateway's own.
    pub fn replace(&self, tenants: impl IntoIterator<Item = TenantId>, rules: IdentityRules) {
        self.0.store(Arc::new(View { ids: Arc::new(with_own(tenants)), rules }));
    }
}

fn with_own(tenants: impl IntoIterator<Item = TenantId>) -> BTreeSet<TenantId> {
    tenants.into_iter().chain([TenantId::default_tenant()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(tenants: &Tenants) -> Vec<String> {
        tenants.all().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_own_tenant_is_there_whoever_else_is_and_clones_follow() {
        let tenants = Tenants::new(["b".parse().unwrap()]);
        let clone = tenants.clone();
        assert_eq!(ids(&clone), ["b", "default"]);
        let now = ["a".parse().unwrap(), "default".parse().unwrap()];
        tenants.replace(now, IdentityRules::default());
        assert_eq!(ids(&clone), ["a", "default"]);
    }
}
