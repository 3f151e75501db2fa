//! Encrypts, decrypts and rewraps with transit keys, and makes data keys.

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_secrets::transit::{Encryption, VersionedText};
use serde::Serialize;
use zeroize::Zeroizing;

use super::input::{self, Failures, Inputs, Unread};
use super::{MOUNT_TYPE, hash, name, part, transit};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;

/// Of Vault's API and not of ours: keys that derive others, and encryption that repeats itself.
const OTHERS: [&str; 3] = ["context", "nonce", "convergent_encryption"];

/// One result.
#[derive(Serialize, Default)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `POST /v1/MOUNT/encrypt/NAME`: encrypts `plaintext`, or each in `batch_input`.
pub(in crate::vault) async fn encrypt(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    let failures = Failures::of(&fields)?;
    let (items, unread) = inputs.each(|fields| {
        input::without(fields, &OTHERS)?;
        let version = inputs.key_version_of(fields)?;
        item(fields, input::needed(fields, "plaintext")?, version)
    })?;
    let keys = transit(&state, &call)?;
    let made = keys.encrypt(&call.context, &call.caller, &name, &items).await?;
    inputs.answer(&call, failures, unread.among(made), Outcome::encrypted)
}

/// `POST /v1/MOUNT/decrypt/NAME`: decrypts `ciphertext`, or each in `batch_input`.
pub(in crate::vault) async fn decrypt(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    let failures = Failures::of(&fields)?;
    let (items, unread) = ciphertexts(&inputs)?;
    let keys = transit(&state, &call)?;
    let opened = keys.decrypt(&call.context, &call.caller, &name, &items).await?;
    inputs.answer(&call, failures, unread.among(opened), |opened| match opened {
        Ok(plaintext) => Outcome {
            plaintext: Some(Zeroizing::new(STANDARD.encode(&plaintext))),
            ..Outcome::default()
        },
        Err(error) => Outcome::failed(error),
    })
}

/// `POST /v1/MOUNT/rewrap/NAME`: encrypts `ciphertext`, or each in `batch_input`, with the latest version.
pub(in crate::vault) async fn rewrap(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let fields = call.fields()?;
    let inputs = Inputs::of(&fields)?;
    let (items, unread) = ciphertexts(&inputs)?;
    let keys = transit(&state, &call)?;
    let anew = keys.rewrap(&call.context, &call.caller, &name, &items).await?;
    inputs.answer(&call, Failures::TOLD, unread.among(anew), Outcome::encrypted)
}

/// `POST /v1/MOUNT/datakey/plaintext/NAME`, or `wrapped`: a fresh key, encrypted, and shown or not.
pub(in crate::vault) async fn data_key(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let shown = match part(&call, 0)?.as_str() {
        "plaintext" => true,
        "wrapped" => false,
        _ => return Err(VaultError::NoRoute),
    };
    let name = name(&call, 1)?;
    let fields = call.fields()?;
    input::without(&fields, &OTHERS)?;
    let bytes = match fields.count("bits")?.unwrap_or(256) {
        128 => 16,
        256 => 32,
        512 => 64,
        _ => return Err(VaultError::BadRequest("bits must be 128, 256 or 512".into())),
    };
    let hash = hash(&fields)?;
    let keys = transit(&state, &call)?;
    let made = keys.make_data_key(&call.context, &call.caller, &name, bytes, hash, shown).await?;
    let plaintext = shown.then(|| Zeroizing::new(STANDARD.encode(&made.plaintext)));
    let result = Outcome { plaintext, ..Outcome::encrypted(Ok(made.ciphertext)) };
    Ok(envelope::data(call.head(), MOUNT_TYPE, result))
}

impl Outcome {
    fn encrypted(made: Result<VersionedText, String>) -> Self {
        match made {
            Ok(text) => Self {
                ciphertext: Some(text.to_string()),
                key_version: Some(text.version),
                ..Self::default()
            },
            Err(error) => Self::failed(error),
        }
    }

    /// What is wrong with one of several inputs is told there.
    fn failed(error: String) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

fn item<T>(
    fields: &Fields<'_>,
    text: T,
    version: Option<u64>,
) -> Result<Encryption<T>, VaultError> {
    let associated = input::bytes(fields, "associated_data")?.unwrap_or_default().to_vec();
    Ok(Encryption { text, associated, hash: hash(fields)?, version })
}

fn ciphertexts(
    inputs: &Inputs<'_, '_>,
) -> Result<(Vec<Encryption<VersionedText>>, Unread), VaultError> {
    inputs.each(|fields| {
        input::without(fields, &OTHERS)?;
        let version = inputs.key_version_of(fields)?;
        item(fields, input::made(fields, "ciphertext")?, version)
    })
}
