//! ACME (RFC 8555): accounts ask for certificates and prove that they control the names.
//!
//! No HTTP here: the edge turns requests into calls of [`Acme`]'s methods and [`Error`]s into problem
//! documents. Every operation goes the same way: [authenticate](Acme::by_account) the signed
//! request, ask the access policies, move a state machine one step in one commit, write the audit
//! line, answer.
//!
//! - [`jws`]: signed requests; their payload is out of reach until the signature was checked.
//! - [`nonce`]: single use without a storage write.
//! - [`account`], [`order`], [`authorization`]: the resources, with their states as types
//!   ([`order::state`], [`authorization::state`]).
//! - [`challenge`]: going out and looking whether a name is controlled.
//! - [`certificate`], [`revocation`]: what comes of it, and its end.
//!
//! What takes long (validation, issuing) is written down as unfinished before it begins and done in
//! the background; after a restart [`Acme::resume`] takes it up. A certificate that was made in the
//! instant of a crash, before its order knew, is made a second time; both are in the inventory.
//! [`Acme::sweep`] deletes what is over.

pub mod account;
mod authenticate;
pub mod authorization;
mod background;
pub mod certificate;
pub mod challenge;
mod config;
mod error;
mod failure;
pub mod id;
mod identifier;
pub mod jws;
pub mod nonce;
pub mod order;
mod outcome;
mod quota;
mod records;
mod refusals;
mod reindex;
pub mod revocation;
mod service;
mod sweep;
mod under_way;

pub use authenticate::{Authenticated, Target};
pub use config::{AcmeConfig, Limits, ValidationConfig};
pub use error::{DeniedIdentifier, Error, InternalError, RefusedIdentifier};
pub use failure::{Failure, FailureKind};
pub use identifier::{Identifier, InvalidIdentifier, NameRules};
pub use records::is_index;
pub use reindex::reindex;
pub use service::{Acme, StartError};
