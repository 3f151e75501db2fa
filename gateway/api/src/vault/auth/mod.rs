//! `/v1/auth`: logging in with the certificate, and what can be done with one's own token and with the
//! sessions of others.

pub(super) mod cert;
mod session;
pub(super) mod sessions;
pub(super) mod token;
