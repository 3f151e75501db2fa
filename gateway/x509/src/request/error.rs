//! Why a certification request is refused.

use crate::extensions::ExtensionError;
use crate::{InvalidName, KeyError, WeakKey};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`CertificateRequest::MAX_LENGTH`](crate::CertificateRequest::MAX_LENGTH).
    #[error("the certificate request has {0} bytes, at most 65,536 are accepted")]
    TooLong(usize),
    /// The DER is broken.
    #[error("the certificate request is not a DER PKCS#10 request: {0}")]
    Malformed(der::Error),
    /// A version that nobody writes (RFC 2986 §4.1 has 0 only).
    #[error("the certificate request has the version {0}; the only version is 0")]
    Version(u8),
    /// The key is not one that is supported here.
    #[error("the certificate request's key is not usable: {0}")]
    Key(#[from] KeyError),
    /// The key is too weak for its signature to be looked at.
    #[error("the certificate request's key is weak: {0}")]
    WeakKey(#[from] WeakKey),
    /// The signature does not verify with the key in the request, or uses SHA-1 or another algorithm
    /// that is not accepted.
    #[error(
        "the certificate request's signature does not verify with the key in it (SHA-256, SHA-384 \
         and SHA-512 are accepted)"
    )]
    Signature,
    /// More than one common name.
    #[error("the certificate request's subject has more than one common name")]
    SeveralCommonNames,
    /// A common name that is no text.
    #[error("the certificate request's common name is no text")]
    CommonName,
    /// A subject alternative name of a kind that is not issued here.
    #[error("the certificate request asks for a subject alternative name of the kind {0}")]
    UnsupportedName(&'static str),
    /// A name that cannot be certified.
    #[error("the certificate request asks for an impossible name: {0}")]
    Name(#[from] InvalidName),
    /// A requested extension is malformed or appears twice.
    #[error("the certificate request's extensions cannot be read: {0}")]
    Extension(#[from] ExtensionError),
    /// There are several extension requests, or one with several values (RFC 2985 §5.4.2).
    #[error("the certificate request holds more than one extension request")]
    SeveralExtensionRequests,
    /// The request is for a CA certificate.
    #[error("the certificate request asks for a CA certificate")]
    AsksForCa,
}
