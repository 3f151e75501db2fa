//! Parse, build and lint certificates, CSRs and CRLs: no keys, no I/O.
//!
//! What comes from outside ([`CertificateRequest`], [`ParsedCertificate`]) is parsed once into types
//! that cannot hold nonsense; no parser here panics on any input. What goes out is built in two
//! steps: a template becomes a [`ToBeSigned`], whose bytes are [linted](lint) and then wrapped
//! unchanged into the signed document.

mod algorithm;
mod build_error;
mod certificate;
mod crl;
mod dns;
pub mod ecdsa;
mod extensions;
mod extra;
mod key_algorithm;
pub mod lint;
mod name;
mod name_constraints;
mod ocsp;
pub mod pem;
mod pss;
mod public_key;
mod request;
mod revocation;
mod revocation_list;
mod serial;
mod sha2;
mod signed;
mod subject;
mod template;
#[cfg(test)]
mod testing;
mod time;
mod usage;
mod weak_key;

pub use algorithm::{InvalidSignature, SignatureAlgorithm};
pub use build_error::BuildError;
pub use certificate::{CertificateError, ParsedCertificate, RawExtension};
pub use crl::{CrlScope, CrlTemplate, RevokedEntry};
pub use dns::has_listed_top_level;
pub use extensions::ExtensionError;
pub use extra::{ExtraExtension, InvalidExtra, PolicyId};
pub use key_algorithm::{KeyAlgorithm, KeyError};
pub use name::{GeneralName, InvalidName};
pub use name_constraints::{InvalidSubtree, NameConstraints, Subtree, UnjudgedConstraints};
pub use ocsp::{
    CertificateId, CertificateStatus, MOST_CERTIFICATES, OcspAnswer, OcspAnswerError, OcspFailure,
    OcspQuestion, OcspRequest, OcspRequestError, OcspTemplate, SingleStatus,
};
pub use pss::PssSalt;
pub use public_key::PublicKey;
pub use request::{CertificateRequest, CsrError, RequestTemplate, RequestedExtension};
pub use revocation::{InvalidReason, RevocationReason, UnknownReason};
pub use revocation_list::{ListError, ListScope, NotTheIssuers, RevocationList, UnverifiedList};
pub use serial::{InvalidSerial, RandomFailure, Serial};
pub use sha2::{Sha2, UnknownSha2};
pub use signed::ToBeSigned;
pub use subject::{Subject, SubjectAttribute, UnknownAttribute};
pub use template::{CertifiedBefore, Issuer, Kind, Template};
pub use usage::{ExtendedKeyUsage, KeyUsage, KeyUsages, UnknownUsage};
pub use weak_key::WeakKey;
