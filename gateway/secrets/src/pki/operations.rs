//! The names of operations, as policies have them.

pub(super) const LIST: &str = "certificates.list";
pub(super) const READ: &str = "certificates.read";
pub(super) const REVOKE: &str = "certificates.revoke";
/// To have the caller's own name certified, and no other.
pub(super) const RENEW: &str = "certificates.renew";
/// To have other names certified.
pub(super) const SIGN: &str = "certificates.sign";
