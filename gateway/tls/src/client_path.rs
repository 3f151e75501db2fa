//! The path that was found for a client certificate.

use std::sync::Arc;

use chancery_identity::Fingerprint;
use jiff::Timestamp;

/// The way from a client certificate to the CA that vouched for it.
#[derive(Debug)]
pub(crate) struct ClientPath {
    /// The trusted CA's certificate.
    pub(crate) ca: Fingerprint,
    /// The certificates between, the issuer's first, in DER.
    pub(crate) intermediates: Arc<[Vec<u8>]>,
    /// Whether the client certificate has the extension.
    pub(crate) has_extended_key_usage: bool,
    /// First moment at which all of them are valid.
    pub(crate) not_before: Timestamp,
    /// Last moment at which all of them are.
    pub(crate) not_after: Timestamp,
}
