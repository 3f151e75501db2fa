//! Who is calling: tenants, peer identities, request ids, and the clock that everybody reads.
//!
//! Pure values and rules: nothing here does I/O. The names of a peer come out of its verified
//! certificate (parsed elsewhere); [`IdentityRules`] turns them into the one [`Identity`] that
//! policies, tokens and the audit log use. They reach it through [`Evidence`] only, which looks at each
//! use whether the certificate still counts.

mod address;
mod clock;
mod dns_name;
mod evidence;
mod fingerprint;
mod lineage;
mod no_identity;
mod peer;
mod peer_certificate;
pub mod proxy_protocol;
mod request;
mod room;
mod rules;
mod spiffe;
mod tenant;
mod tenants;
mod text;
mod trail;
mod vouching;

pub use address::{canonical_network, client_network};
pub use clock::Clock;
pub use dns_name::{DnsName, InvalidDnsName};
pub use evidence::{Evidence, EvidenceError, JudgeChain, Settle, Settling, StillHolds};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use lineage::{CaId, Lineage, Link};
pub use no_identity::NoIdentity;
pub use peer::Peer;
pub use peer_certificate::{CertificateNames, PeerCertificate};
pub use request::{RequestContext, RequestId};
pub use room::{NoRoom, Room};
pub use rules::{IdentityRules, PinnedIdentity, TenantRules};
pub use spiffe::{InvalidSpiffeId, SpiffeId};
pub use tenant::{InvalidTenantId, TenantId};
pub use tenants::Tenants;
pub use text::{is_plain, visible, visible_lines};
pub use trail::{Sender, Trail};
pub use vouching::{CaBinding, VouchesFor};

use serde::{Deserialize, Serialize};

/// What a verified client certificate stands for: one name in one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The tenant whose rules recognised the certificate.
    pub tenant: TenantId,
    /// The name within that tenant.
    pub name: IdentityName,
}

/// The name of an [`Identity`], by the kind of evidence in the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityName {
    /// The certificate's single SPIFFE URI SAN (SPIFFE X509-SVID §2).
    Spiffe(SpiffeId),
    /// The certificate's single DNS SAN below a suffix of the tenant.
    Dns(DnsName),
    /// A name that configuration pins to one certificate fingerprint.
    Pinned(String),
}

impl std::fmt::Display for IdentityName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spiffe(id) => write!(f, "{id}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Pinned(name) => write!(f, "name:{name}"),
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}
