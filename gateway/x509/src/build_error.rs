//! Why a document cannot be built.

use jiff::Timestamp;

use crate::SignatureAlgorithm;

/// Why a certificate or CRL cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A value does not fit its ASN.1 type.
    #[error("a value cannot be encoded in DER: {0}")]
    Encode(#[from] der::Error),
    /// A time before 1970 or after 9999.
    #[error("{0} cannot be written into a certificate: years 1970 to 9999 can")]
    Time(Timestamp),
    /// The issuer is no CA certificate that can be built upon.
    #[error("the issuer's certificate cannot sign: {0}")]
    Issuer(&'static str),
    /// The algorithm is not one for the issuer's key.
    #[error("the issuer's key does not make signatures of the type {0:?}")]
    Algorithm(SignatureAlgorithm),
}
