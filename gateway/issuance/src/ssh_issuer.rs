//! The CA for SSH as an issuer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chancery_ca::SshCa;
use chancery_identity::TenantId;

/// The CA for SSH, with what its certificates may be.
#[derive(Debug, Clone)]
pub struct SshIssuer {
    /// The CA.
    pub ca: Arc<SshCa>,
    /// The tenants for which it certifies. A host that trusts the CA accepts a certificate for a principal
    /// from any tenant, so the policies of each of these tenants decide about the hosts of all.
    pub tenants: BTreeSet<TenantId>,
    /// How long a certificate is valid if the client requests no validity.
    pub default_ttl: Duration,
    /// How long a certificate is valid at most; policy may set less.
    pub max_ttl: Duration,
}
