//! Sandboxed WebAssembly policies: engine, bindings, limits, decisions.
//!
//! A policy is a component against one of the worlds in `wit/`. A binding document (TOML) says which
//! component decides about which requests, with what settings and within which limits. The
//! [`PolicyHost`] asks every binding that matches a request, each in a fresh instance, and merges the
//! answers: one denial denies, ceilings merge to the strictest, and whatever is not an answer (no
//! match, a trap, a deadline, an oversized result, a full queue) is a denial with a reason.

mod access;
mod admission;
mod artifact;
mod background;
mod bake;
mod binding;
mod calls;
mod candidate;
pub mod cases;
mod certificate;
mod check;
mod compiler;
mod confine;
mod context;
mod deadline;
mod decision;
mod digest;
mod documents;
mod each;
mod engine;
mod error;
mod evaluation;
mod group;
mod guest;
mod history;
mod host;
mod interface;
mod known;
mod line;
mod lookups;
mod meters;
mod operations;
mod pattern;
mod plugin;
mod prepare;
mod request;
mod reuse;
mod schedule;
mod set;
mod share;
mod signature;
mod sources;
mod trial;
mod verdict;
mod wasi;
mod workers;
mod world;

pub use access::{AccessGrant, AccessRequest};
pub use admission::Unasked;
pub use candidate::{Summary, earlier_set, policy_history, remember_earlier, roll_back};
pub use certificate::{
    CertificateFacts, CertificateTemplate, Extension, KeyFacts, Name, ValidatedName,
};
pub use compiler::{Compiler, compile_ordered};
pub use context::context_attributes;
pub use digest::{Digest, InvalidDigest};
pub use documents::{DocumentSignatures, Documents, NotSigned, SIGNATURES, documents};
pub use each::EachVerdict;
pub use error::{LoadError, Place, Subject};
pub use history::{EarlierSet, Restored, TakenSet};
pub use host::{PolicyConfig, PolicyHost};
pub use known::{Known, Names};
pub use lookups::{DataLookup, GroupLookup, IssuedLookup, IssuedTo, LookupError, Lookups};
pub use operations::Operations;
pub use plugin::LARGEST_COMPONENT;
pub use set::InForce;
pub use signature::{InvalidSignature, KeySignature, PolicySignature, SignerKey, Signers};
pub use trial::{Inspection, Measure, Trial, TrialLimits};
pub use verdict::{Approval, Denial, Evaluation, Verdict};
pub use world::VERSION as CONTRACT;
