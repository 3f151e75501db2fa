//! OCSP (RFC 6960): requests as they come and responses up to their signature; questions to the responders of
//! others, and what they answer.
//!
//! The ASN.1 is written down here because the crate for it is built on an older generation of the one
//! for certificates.

mod answer;
mod asn1;
mod request;
mod response;

pub use answer::{OcspAnswer, OcspAnswerError, OcspQuestion};
pub use request::{CertificateId, MOST_CERTIFICATES, OcspRequest, OcspRequestError};
pub use response::{CertificateStatus, OcspFailure, OcspTemplate, SingleStatus};
