//! `/v1/MOUNT`: the resources of a mount for certificates, as Vault's PKI engine has them, and what
//! operators need beyond: searching, and revoking many at once. Services renew their certificates here.

pub(super) mod cert;
pub(super) mod certs;
pub(super) mod public;
pub(super) mod revoke;
mod search;
pub(super) mod sign;
mod view;

use chancery_secrets::pki::Serial;

use super::error::VaultError;

const MOUNT_TYPE: &str = "pki";

/// A serial number with or without separators, as clients write it.
fn serial(text: &str) -> Result<Serial, VaultError> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    digits.parse().map_err(|_| {
        VaultError::BadRequest("the serial number must have 1 to 40 hex digits".into())
    })
}
