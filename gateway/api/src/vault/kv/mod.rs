//! `/v1/MOUNT`: the resources of a key-value mount, version 2.

pub(super) mod config;
pub(super) mod data;
pub(super) mod metadata;
pub(super) mod subkeys;
pub(super) mod versions;
mod view;

use chancery_secrets::kv::SecretPath;

use super::call::Call;
use super::error::VaultError;
use super::path;

const MOUNT_TYPE: &str = "kv";

/// The path of the secret that a call is about.
fn secret_path(call: &Call) -> Result<SecretPath, VaultError> {
    let (_, raw) = call.raw_target();
    Ok(SecretPath::parse(&path::decode(raw)?)?)
}
