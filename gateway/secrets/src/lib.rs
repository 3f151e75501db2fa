//! The engines behind mounts: [`kv`], versioned key-value secrets, and [`pki`], the certificates that
//! were issued.
//!
//! Nothing here knows of HTTP. Every operation takes the request's context and an authenticated
//! [`chancery_access::Caller`], asks the policies, acts, and is in the audit log before its result
//! is returned.

pub mod kv;
mod mount;
pub mod pki;
mod secrets;

pub use mount::{InvalidMountName, Mount, MountKind, MountName, Mounts};
pub use secrets::Secrets;
