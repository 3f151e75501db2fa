//! `/v1/MOUNT`: the resources of a mount for keys, as Vault's transit engine has them, and what a key's
//! life needs beyond: disabling, bringing back, purging.

pub(super) mod encryption;
mod input;
pub(super) mod keys;
pub(super) mod signing;
pub(super) mod transfer;
mod view;

use chancery_secrets::transit::{OaepHash, Transit, TransitKeyName};

use super::call::Call;
use super::error::VaultError;
use super::fields::Fields;
use super::path;
use super::state::VaultState;

const MOUNT_TYPE: &str = "transit";

/// The keys that a call is about.
fn transit<'a>(state: &'a VaultState, call: &Call) -> Result<Transit<'a>, VaultError> {
    Ok(state.secrets.transit(call.mount()?))
}

/// The part of `/v1/MOUNT/RESOURCE/0/1/2` with this number.
fn part(call: &Call, number: usize) -> Result<String, VaultError> {
    let (_, rest) = call.raw_target();
    path::decode(rest.split('/').nth(number).unwrap_or_default())
}

/// The same as the name of a key.
fn name(call: &Call, number: usize) -> Result<TransitKeyName, VaultError> {
    parsed(&part(call, number)?)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, VaultError> {
    text.parse().map_err(|error: T::Err| VaultError::BadRequest(error.to_string().into()))
}

/// The hash in OAEP; of use to keys of type RSA only.
fn hash(fields: &Fields<'_>) -> Result<OaepHash, VaultError> {
    let named = fields.named("hash_function", "a text")?;
    named.map_or(Ok(OaepHash::default()), |text| parsed(&text))
}
