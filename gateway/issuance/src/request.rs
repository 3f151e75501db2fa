use chancery_identity::{Identity, RequestContext};
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
    /// The first moment of validity asked for; none means now.
    pub not_before: Option<Timestamp>,
    /// The last second of validity asked for; none leaves it to policy. It shortens, never lengthens.
    pub not_after: Option<Timestamp>,
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
}

impl IssuedCertificate {
    /// The chain as `application/pem-certificate-chain` (RFC 8555 §9.1).
    pub fn pem(&self) -> String {
        pem::encode_chain(&self.chain)
    }
}
