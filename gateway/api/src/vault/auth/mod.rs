//! `/v1/auth`: logging in with the certificate, and what can be done with one's own token.

pub(super) mod cert;
mod session;
pub(super) mod token;
