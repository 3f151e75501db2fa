//! The engines behind mounts. Today there is one: [`kv`], versioned key-value secrets.
//!
//! Nothing here knows of HTTP. Every operation takes the request's context and an authenticated
//! [`chancery_access::Caller`], asks the policies, acts, and is in the audit log before its result
//! is returned.

pub mod kv;
mod mount;
mod secrets;

pub use mount::{InvalidMountName, Mount, MountName, Mounts};
pub use secrets::Secrets;
