//! What policies are asked and what they may answer: requests for access and for certificates, grants, templates and
//! denials.

mod access;
mod certificate;
mod context;
mod denial;
mod operations;
mod pattern;

pub use access::{AccessGrant, AccessRequest};
pub(crate) use certificate::Disagreement;
pub use certificate::{
    CertificateFacts, CertificateTemplate, Extension, KeyFacts, Name, ValidatedName,
};
pub use context::context_attributes;
pub use denial::{Approval, Denial};
pub use operations::Operations;
pub(crate) use pattern::{Patterns, fits};
