use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::TenantId;

/// Which tenants there are, as the configuration has them now. Clones share one view, so that what does
/// something for each tenant (sweeps, status of certificates, unfinished orders) follows a reload.
///
/// The gateway's own tenant is always among them: its own certificates are there, whoever else is.
#[derive(Debug, Clone)]
pub struct Tenants(Arc<ArcSwap<BTreeSet<TenantId>>>);

impl Tenants {
    /// These, and the gateway's own.
    pub fn new(tenants: impl IntoIterator<Item = TenantId>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(with_own(tenants))))
    }

    /// Those that there are now, in the order of their ids.
    pub fn all(&self) -> Arc<BTreeSet<TenantId>> {
        self.0.load_full()
    }

    /// Takes these, and the gateway's own, in place of those before.
    pub fn replace(&self, tenants: impl IntoIterator<Item = TenantId>) {
        self.0.store(Arc::new(with_own(tenants)));
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
        tenants.replace(["a".parse().unwrap(), "default".parse().unwrap()]);
        assert_eq!(ids(&clone), ["a", "default"]);
    }
}
