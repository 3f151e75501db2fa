//! The engines behind mounts: [`kv`], versioned key-value secrets, [`transit`], keys for their life,
//! [`pki`], the certificates that were issued, and [`ssh`], certificates for SSH.
//!
//! Nothing here knows of HTTP. Every operation takes the request's context and an authenticated
//! [`chancery_access::Caller`], asks the policies, acts, and is in the audit log before its result
//! is returned.

mod environment;
mod id;
pub mod kv;
mod listing;
mod mount;
mod page;
pub mod pki;
mod secrets;
pub mod ssh;
pub mod transit;

pub use mount::{InvalidMountName, Mount, MountKind, MountName, Mounts};
pub use page::Page;
pub use secrets::Secrets;
