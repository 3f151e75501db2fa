//! Limits a client CA to the tenants and names of its binding.

use std::collections::BTreeSet;

use crate::{DnsName, SpiffeId, TenantId};

/// For whose client certificates the word of a CA counts. Whom a certificate stands for is said by the
/// [tenants' rules](crate::IdentityRules); this bounds which of that a CA can say, so that the CA of one
/// tenant makes nobody of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VouchesFor {
    /// Whomever the tenants' rules recognise: the gateway's own CAs, whose certificates the policies
    /// decided on, and the CAs of an installation with one tenant.
    Everybody,
    /// Those whom a binding names, and nobody else.
    Only(CaBinding),
}

/// What a CA is bound to. A name counts if its tenant is here and the trust domain or suffix as well; a
/// pinned certificate if its tenant is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaBinding {
    /// The tenants.
    pub tenants: BTreeSet<TenantId>,
    /// SPIFFE trust domains.
    pub trust_domains: BTreeSet<String>,
    /// DNS suffixes: `example.com` takes `example.com` and every name below it.
    pub dns_suffixes: BTreeSet<String>,
}

impl VouchesFor {
    pub(crate) fn pins_of(&self, tenant: &TenantId) -> bool {
        self.binding().is_none_or(|binding| binding.tenants.contains(tenant))
    }

    pub(crate) fn spiffe_id(&self, tenant: &TenantId, id: &SpiffeId) -> bool {
        self.binding().is_none_or(|binding| {
            binding.tenants.contains(tenant) && binding.trust_domains.contains(id.trust_domain())
        })
    }

    pub(crate) fn dns_name(&self, tenant: &TenantId, name: &DnsName) -> bool {
        self.binding().is_none_or(|binding| {
            binding.tenants.contains(tenant)
                && binding.dns_suffixes.iter().any(|suffix| name.is_under(suffix))
        })
    }

    fn binding(&self) -> Option<&CaBinding> {
        match self {
            Self::Everybody => None,
            Self::Only(binding) => Some(binding),
        }
    }
}
