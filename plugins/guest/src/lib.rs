//! What a Chancery policy in Rust is written with.
//!
//! A policy is a struct that serde can read from the binding's settings, and one function:
//!
//! ```
//! use chancery_guest::access::{Denial, Grant, Policy, Refusal, Request};
//!
//! /// Everybody may read below a prefix.
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Readers {
//!     prefix: String,
//! }
//!
//! impl Policy for Readers {
//!     fn evaluate(&self, request: &Request) -> Result<Grant, Refusal> {
//!         if request.operation == "secrets.read" && request.resource.starts_with(&self.prefix) {
//!             return Ok(Grant::unlimited());
//!         }
//!         Err(Denial::new("not-below-prefix", "this may not be read", &self.prefix).into())
//!     }
//! }
//!
//! chancery_guest::access_policy!(Readers, r#"{"properties":{"prefix":{"type":"string"}}}"#);
//! # fn main() {}
//! ```
//!
//! The crate also brings the allocator: it hands out what is left of the guest's first page of memory
//! and asks for more only when that is used up, because a guest of one page is reset between
//! evaluations without a system call.

pub mod access;
#[cfg(target_arch = "wasm32")]
mod allocator;
pub mod certificate;
mod component;
pub mod glob;
pub mod host;
#[cfg(feature = "networks")]
mod network;
mod panics;
mod period;
mod settings;

pub use bindings::host::chancery::policy::types::{Attribute, Denial, Description};
pub use glob::{Glob, Globs};
#[cfg(feature = "networks")]
pub use network::Network;
#[doc(hidden)]
pub use panics::say_panics;
pub use period::Period;
pub use settings::{Compact, SettingsError, Slot};

#[doc(hidden)]
pub mod bindings;

impl Denial {
    /// A refusal: a code for programs, a message for the caller, a text for the audit log only.
    pub fn new(code: &str, message: &str, audit: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), audit: audit.into() }
    }
}
