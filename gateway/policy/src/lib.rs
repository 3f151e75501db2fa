//! Sandboxed WebAssembly policies: engine, bindings, limits, decisions.
//!
//! A policy is a component against one of the worlds in `wit/`. A binding document (TOML) says which
//! component decides about which requests, with what settings and within which limits. The
//! [`PolicyHost`] asks every binding that matches a request, each in a fresh instance, and merges the
//! answers: one denial denies, ceilings merge to the strictest, and whatever is not an answer (no
//! match, a trap, a deadline, an oversized result, a full queue) is a denial with a reason.

mod binding;
pub mod cases;
mod component;
mod contract;
mod decide;
mod host;
mod question;
mod set;
mod trial;

pub use binding::{Digest, FileError, InvalidDigest, InvalidDocument, Known, Names, Place};
pub use chancery_sandbox::EngineError;
pub use component::{ArtifactError, Compiler, LARGEST_COMPONENT, compile_ordered};
pub use contract::{
    DataLookup, GroupLookup, IssuedLookup, IssuedTo, LookupError, Lookups, VERSION as CONTRACT,
};
pub use decide::{Evaluation, Verdict};
pub use host::{
    EachVerdict, PolicyConfig, PolicyHost, earlier_set, policy_history, remember_earlier, roll_back,
};
pub use question::{
    AccessGrant, AccessRequest, Approval, CertificateFacts, CertificateTemplate, Denial, Extension,
    KeyFacts, Name, Operations, ValidatedName, context_attributes,
};
pub use set::{
    DocumentSignatures, Documents, EarlierSet, InForce, InvalidSignature, KeySignature, LoadError,
    NotSigned, PolicySignature, Restored, SIGNATURES, SignerKey, Signers, Subject, Summary,
    TakenSet, Unasked, documents,
};
pub use trial::{Inspection, Measure, Trial, TrialLimits};
