//! Why a certificate stands for nobody.

/// Why a verified certificate has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// Neither a pin nor a name in the certificate matches any tenant's rules.
    #[error("no tenant recognises a name in this certificate")]
    Unrecognised,
    /// SPIFFE X509-SVID §2 allows exactly one URI SAN; and two DNS names of tenants are as unclear.
    #[error(
        "several names in the certificate, or several tenants that recognise one, could be its identity"
    )]
    Ambiguous,
    /// The certificate says `spiffe:` but not according to the specification.
    #[error("the certificate's SPIFFE ID is malformed")]
    MalformedSpiffeId,
    /// The certificate has a DNS name that is none. A CA that certifies one may have read another name in
    /// it than is read here, so its other DNS names do not count either.
    #[error("the certificate has a DNS name that is malformed")]
    MalformedDnsName,
    /// A tenant recognises the certificate, and the CA that issued it does not vouch for that.
    #[error("the CA that issued this certificate does not vouch for the name in it")]
    NotVouchedFor,
}
