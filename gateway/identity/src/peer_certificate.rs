//! A verified client certificate, and the names in it.

use jiff::Timestamp;

use crate::{Fingerprint, Identity, Lineage, NoIdentity};

/// A client certificate that chained to a trusted client CA, was in date and whose private key the
/// peer proved to hold in the handshake. Whether it still counts is for [`Evidence`](crate::Evidence) to say, behind
/// which it is kept.
#[derive(Debug)]
pub struct PeerCertificate {
    /// The certificate itself.
    pub der: Vec<u8>,
    /// SHA-256 of [`der`](Self::der).
    pub fingerprint: Fingerprint,
    /// Serial number, lower-case hex without leading zeros (the form of the inventory).
    pub serial: String,
    /// Subject key identifier of the issuer (the certificate's authority key identifier), lower-case
    /// hex; empty if the certificate has none.
    pub authority_key_id: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity (inclusive, RFC 5280 §4.1.2.5).
    pub not_after: Timestamp,
    /// Its way to the trusted CA; none where nobody asks about that.
    pub lineage: Option<Lineage>,
    /// Who this is by the identity rules, or why nobody.
    pub identity: Result<Identity, NoIdentity>,
}

/// The names in a certificate from which an identity may be taken. The subject's common name is not
/// among them: RFC 9525 §2.1 forbids relying on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// URI SANs in order.
    pub uris: Vec<String>,
    /// DNS SANs in order.
    pub dns: Vec<String>,
}
