//! `/v1/MOUNT`: the resources of a key-value mount, version 2.

pub(super) mod config;
pub(super) mod data;
pub(super) mod metadata;
pub(super) mod versions;
mod view;

use chancery_secrets::MountName;
use chancery_secrets::kv::SecretPath;

use super::call::Call;
use super::error::VaultError;
use super::path;

const MOUNT_TYPE: &str = "kv";

/// The mount that a call is about. What cannot be the name of one has no route.
fn mount(call: &Call) -> Result<MountName, VaultError> {
    let (name, _) = call.raw_target();
    name.parse().map_err(|_| VaultError::NoRoute)
}

/// The path of the secret that a call is about.
fn secret_path(call: &Call) -> Result<SecretPath, VaultError> {
    let (_, raw) = call.raw_target();
    Ok(SecretPath::parse(&path::decode(raw)?)?)
}
