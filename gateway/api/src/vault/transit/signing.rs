//! Signs, computes HMACs and verifies both with transit keys.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::transit::{Marshaling, Padding, PssSalt, Sha2, Signing};
use serde::Serialize;

use super::input::{self, Failures, Inputs};
use super::{name, parsed, part, transit};
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;

/// Of Vault's API and not of ours.
const OTHERS: [&str; 2] = ["context", "prehashed"];

/// One result.
#[derive(Serialize, Default)]
struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Made {
    /// What is wrong with one of several inputs is told there.
    fn failed(error: String) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    fn verified(valid: Result<bool, String>) -> Self {
        let (valid, error) = valid.map_or_else(|error| (false, Some(error)), |valid| (valid, None));
        Self { valid: Some(valid), error, ..Self::default() }
    }
}

/// `POST /v1/MOUNT/sign/NAME` and `…/HASH`: signs `input`, or each in `batch_input`.
pub(in crate::vault) async fn sign(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    input::without(&fields, &OTHERS)?;
    let how = how(&call, &fields)?;
    let (messages, unread) = inputs.each(message)?;
    let version = inputs.key_version()?;
    let keys = transit(&state, &call)?;
    let made = keys.sign(&call.context, &call.caller, &name, version, how, messages).await?;
    let made = made.into_iter().map(Ok).collect();
    inputs.answer(&call, Failures::TOLD, unread.among(made), |made| match made {
        Ok(text) => Made {
            signature: Some(text.to_string()),
            key_version: Some(text.version),
            ..Made::default()
        },
        Err(error) => Made::failed(error),
    })
}

/// `POST /v1/MOUNT/hmac/NAME` and `…/HASH`: the HMAC of `input`, or of each in `batch_input`.
pub(in crate::vault) async fn hmac(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    input::without(&fields, &OTHERS)?;
    let hash = mac_hash(&call, &fields)?;
    let (messages, unread) = inputs.each(message)?;
    let version = inputs.key_version()?;
    let keys = transit(&state, &call)?;
    let made = keys.mac(&call.context, &call.caller, &name, version, hash, messages).await?;
    inputs.answer(&call, Failures::TOLD, unread.among(made), |made| match made {
        Ok(text) => Made { hmac: Some(text.to_string()), ..Made::default() },
        Err(error) => Made::failed(error),
    })
}

/// `POST /v1/MOUNT/verify/NAME` and `…/HASH`: whether `signature`, or `hmac`, is one of `input`.
pub(in crate::vault) async fn verify(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    input::without(&fields, &OTHERS)?;
    let keys = transit(&state, &call)?;
    let (is_mac, _) = inputs.each(|fields| Ok(fields.raw("hmac").is_some()))?;
    let is_mac = is_mac.contains(&true);
    let what = if is_mac { "hmac" } else { "signature" };
    let (made, unread) =
        inputs.each(|fields| Ok((message(fields)?, input::made(fields, what)?)))?;
    let (context, caller) = (&call.context, &call.caller);
    let verified = if is_mac {
        keys.verify_mac(context, caller, &name, mac_hash(&call, &fields)?, made).await?
    } else {
        keys.verify(context, caller, &name, how(&call, &fields)?, made).await?
    };
    inputs.answer(&call, Failures::TOLD, unread.among(verified), Made::verified)
}

/// How is to be signed. The hash may stand in the path too.
fn how(call: &Call, fields: &Fields<'_>) -> Result<Signing, VaultError> {
    let text = |name: &str| fields.text(name, "a text");
    let refused = |why: &'static str| Err(VaultError::BadRequest(why.into()));
    let hash = hash_name(call, fields)?.map(|name| parsed(&name)).transpose()?;
    let padding = match text("signature_algorithm")?.as_deref() {
        None | Some("") => None,
        Some("pss") => Some(Padding::Pss),
        Some("pkcs1v15") => Some(Padding::Pkcs1v15),
        Some(_) => return refused("signature_algorithm must be pss or pkcs1v15"),
    };
    let marshaling = match text("marshaling_algorithm")?.as_deref() {
        None | Some("" | "asn1") => Marshaling::Asn1,
        Some("jws") => Marshaling::Jws,
        Some(_) => return refused("marshaling_algorithm must be asn1 or jws"),
    };
    // 0 and -1 are what Go's library takes for the two words.
    let salt = match text("salt_length")?.as_deref() {
        None | Some("" | "auto" | "0") => PssSalt::Any,
        Some("hash" | "-1") => PssSalt::Hash,
        Some(number) => match number.parse::<u64>() {
            // No signature has a salt that is longer.
            Ok(bytes) => PssSalt::Bytes(u16::try_from(bytes).unwrap_or(u16::MAX)),
            Err(_) => return refused("salt_length must be auto, hash or a number of bytes"),
        },
    };
    Ok(Signing { hash, padding, salt, marshaling })
}

fn hash_name(call: &Call, fields: &Fields<'_>) -> Result<Option<String>, VaultError> {
    let in_path = part(call, 1)?;
    if !in_path.is_empty() {
        return Ok(Some(in_path));
    }
    let named = |name: &str| fields.named(name, "a text");
    Ok(named("hash_algorithm")?.or(named("algorithm")?))
}

fn mac_hash(call: &Call, fields: &Fields<'_>) -> Result<Sha2, VaultError> {
    hash_name(call, fields)?.map_or(Ok(Sha2::default()), |name| parsed(&name))
}

fn message(fields: &Fields<'_>) -> Result<Vec<u8>, VaultError> {
    input::without(fields, &OTHERS)?;
    Ok(input::needed(fields, "input")?.to_vec())
}
