//! Which requests a binding is asked about.

use chancery_identity::TenantId;

use crate::contract::Decision;
use crate::question::{AccessRequest, CertificateFacts, Patterns};

/// Which requests a binding is asked about.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Access { tenants: Patterns, operations: Patterns, resources: Patterns },
    Certificate { tenants: Patterns, requesters: Patterns, profiles: Patterns },
}

impl Scope {
    pub(crate) const ANY_ACCESS: Self = Self::Access {
        tenants: Patterns::ALL,
        operations: Patterns::ALL,
        resources: Patterns::ALL,
    };
    pub(crate) const ANY_CERTIFICATE: Self = Self::Certificate {
        tenants: Patterns::ALL,
        requesters: Patterns::ALL,
        profiles: Patterns::ALL,
    };

    /// Everything that there is to decide.
    pub(crate) fn any(decision: Decision) -> Self {
        match decision {
            Decision::Access => Self::ANY_ACCESS,
            Decision::Certificate => Self::ANY_CERTIFICATE,
        }
    }

    pub(crate) fn decision(&self) -> Decision {
        match self {
            Self::Access { .. } => Decision::Access,
            Self::Certificate { .. } => Decision::Certificate,
        }
    }

    /// Whether the binding may be asked for this tenant.
    pub(crate) fn reaches(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Access { tenants, .. } | Self::Certificate { tenants, .. } => {
                tenants.matches(tenant.as_str())
            }
        }
    }

    /// Whether it is asked about this resource, which stands in the place of the request's own.
    pub(crate) fn takes_access(&self, request: &AccessRequest, resource: &str) -> bool {
        match self {
            Self::Access { tenants, operations, resources } => {
                tenants.matches(request.tenant.as_str())
                    && operations.matches(&request.operation)
                    && resources.matches(resource)
            }
            Self::Certificate { .. } => false,
        }
    }

    /// A request that names no profile is matched as if it named the empty one.
    pub(crate) fn takes_certificate(&self, facts: &CertificateFacts) -> bool {
        match self {
            Self::Certificate { tenants, requesters, profiles } => {
                tenants.matches(facts.tenant.as_str())
                    && requesters.matches(&facts.requester)
                    && profiles.matches(facts.profile.as_deref().unwrap_or_default())
            }
            Self::Access { .. } => false,
        }
    }
}
