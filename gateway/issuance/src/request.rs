//! The request for a certificate, and the certificate that answers it.

use std::time::Duration;

use chancery_identity::{Identity, RequestContext};
use chancery_store::Commit;
use chancery_upstream::{Kept, Purpose};
use chancery_x509::{CertificateRequest, GeneralName, Serial, pem};
use jiff::Timestamp;

/// Who asks for a certificate. Its text form is what policies, the inventory and the audit log show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// An ACME account: `acme:ID`.
    AcmeAccount {
        /// The account's id.
        id: String,
    },
    /// An identity: as the identity shows itself, such as `spiffe://…` or `dns:…`.
    Identity(Identity),
    /// A part of the gateway itself: `internal:NAME`.
    Internal(&'static str),
}

impl Requester {
    /// Who asks where somebody runs a command beside the store: `internal:operator`.
    pub const OPERATOR: &'static str = "operator";
}

impl std::fmt::Display for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AcmeAccount { id } => write!(f, "acme:{id}"),
            Self::Identity(identity) => identity.fmt(f),
            Self::Internal(name) => write!(f, "internal:{name}"),
        }
    }
}

/// A name that the requester has proved to control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedName {
    /// The name; a wildcard is a name of its own.
    pub name: GeneralName,
    /// How: `http-01`, `dns-01`, `tls-alpn-01`, `identity`, or `internal` for names that the gateway
    /// vouches for itself.
    pub method: String,
}

/// An ACME order, whose certificate is asked for until it is there or the order is over. All of these requests get one
/// certificate from another CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeOrder {
    /// Its id.
    pub id: String,
    /// When it is over.
    pub expires: Timestamp,
}

/// A question for a certificate.
#[derive(Debug, Clone)]
pub struct IssuanceRequest {
    /// The request from the outside that this belongs to; its tenant gets the certificate.
    pub context: RequestContext,
    /// Who asks.
    pub requester: Requester,
    /// The signing request, whose signature has been verified by parsing it.
    pub csr: CertificateRequest,
    /// The profile asked for; none leaves it to policy.
    pub profile: Option<String>,
    /// Every name that the requester has proved to control for this.
    pub validated: Vec<ValidatedName>,
    /// The order that it is for. Without one, each request that succeeds gets a certificate of its own.
    pub order: Option<AcmeOrder>,
    /// The first moment of validity asked for; none means now.
    pub not_before: Option<Timestamp>,
    /// The last second of validity asked for; none leaves it to policy. It shortens, never lengthens.
    pub not_after: Option<Timestamp>,
}

impl IssuanceRequest {
    /// How much longer a request is remembered than it may be made: the last one takes its time, and clocks differ.
    const GRACE: Duration = Duration::from_hours(24);

    /// What another CA's certificate for this request is for.
    pub(crate) fn purpose(&self) -> Purpose {
        let (order, last) = match &self.order {
            Some(order) => (Some(&order.id), order.expires),
            None => (None, self.context.received),
        };
        let tenant = self.context.tenant.to_string();
        // As an array of JSON no part can pass for another.
        let id = serde_json::json!([tenant, self.requester.to_string(), order]).to_string();
        Purpose { id, until: last.checked_add(Self::GRACE).unwrap_or(Timestamp::MAX) }
    }
}

/// A certificate to hand out: stored and on the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its serial number, by which the inventory finds it.
    pub serial: Serial,
    /// The certificate.
    pub der: Vec<u8>,
    /// It and those above it, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last second of validity, inclusive.
    pub not_after: Timestamp,
    /// By what another request for the same order finds it.
    pub(crate) kept: Option<Kept>,
}

impl IssuedCertificate {
    /// Adds to the commit by which the requester's order has the certificate what forgets how it was obtained. Until
    /// then, another request for the order gets the same certificate.
    #[must_use]
    pub fn delivered(&self, commit: Commit) -> Commit {
        match &self.kept {
            Some(kept) => kept.forget(commit),
            None => commit,
        }
    }

    /// The chain as `application/pem-certificate-chain` (RFC 8555 §9.1).
    pub fn pem(&self) -> String {
        pem::encode_chain(&self.chain)
    }
}
