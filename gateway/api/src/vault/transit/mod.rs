//! `/v1/MOUNT`: the resources of a mount for keys, as Vault's transit engine has them, and what a key's
//! life needs beyond: disabling, bringing back, purging.

pub(super) mod encryption;
mod input;
pub(super) mod keys;
pub(super) mod signing;
pub(super) mod transfer;
mod view;

use chancery_secrets::transit::{Transit, TransitKeyName};
use http::StatusCode;
use serde::Serialize;

use super::call::Call;
use super::error::VaultError;
use super::state::VaultState;
use super::{envelope, path};

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

/// What came of one input, or of each of several.
#[derive(Serialize)]
struct Batch<T> {
    batch_results: Vec<T>,
}

/// Answers with the only result, or with all of those of a batch: with 400 if one of them is an error, as
/// clients expect, who look at each then.
fn answer<T: Serialize>(
    call: &Call,
    is_batch: bool,
    all_good: bool,
    results: Vec<T>,
) -> axum::response::Response {
    if !is_batch && let Some(only) = results.first() {
        return envelope::data(call.id(), MOUNT_TYPE, only);
    }
    let status = if all_good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    envelope::data_with(status, call.id(), MOUNT_TYPE, Batch { batch_results: results })
}
