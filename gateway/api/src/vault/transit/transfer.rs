//! Imports, exports, backs up and restores transit keys, always encrypted.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_secrets::transit::{Import, Imported, Protection, TransitKeyType};
use serde::Serialize;
use zeroize::Zeroizing;

use super::keys::{key_type, protection, settings, shown};
use super::{MOUNT_TYPE, hash, input, name, parsed, part, transit};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;

/// `GET /v1/MOUNT/wrapping_key`: to which public key a key is wrapped that is brought in, and with which hash
/// in OAEP. With `?protection=hsm` it is the key that is in the HSM.
pub(in crate::vault) async fn wrapping_key(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct View {
        public_key: String,
        hash_function: String,
    }
    call.expect(Verb::Get)?;
    let holder = call.query("protection");
    let holder = holder.map_or(Ok(Protection::default()), |text| parsed(&text))?;
    let found = transit(&state, &call)?.wrapping_key(&call.context, &call.caller, holder).await?;
    let view = View { public_key: found.pem, hash_function: found.hash.to_string() };
    Ok(envelope::data(call.head(), MOUNT_TYPE, view))
}

/// `POST /v1/MOUNT/keys/NAME/import`: brings in a key, wrapped as `ciphertext` or only a `public_key`. With
/// `unwrapped_in` `hsm` the `ciphertext` was wrapped to the key in the HSM; of a pair there is the `public_key`
/// then, too.
pub(in crate::vault) async fn import(
    state: State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    bring_in(state, call, false).await
}

/// `POST /v1/MOUNT/keys/NAME/import_version`: brings in the next version of a key.
pub(in crate::vault) async fn import_version(
    state: State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    bring_in(state, call, true).await
}

async fn bring_in(
    State(state): State<VaultState>,
    call: Call,
    version_of_known: bool,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = name(&call, 0)?;
    let import = wanted(&call.fields()?)?;
    let keys = transit(&state, &call)?;
    let imported =
        keys.import(&call.context, &call.caller, &name, import, version_of_known).await?;
    Ok(shown(&call, &name, &imported))
}

fn wanted(fields: &Fields<'_>) -> Result<Import, VaultError> {
    input::without(fields, &["derived", "context", "allow_plaintext_backup"])?;
    let public = fields.named("public_key", "a public key in PEM")?;
    let holder = fields.named("unwrapped_in", "software or hsm")?;
    let holder = holder.map_or(Ok(Protection::default()), |text| parsed(&text))?;
    let ciphertext = input::bytes(fields, "ciphertext")?.filter(|bytes| !bytes.is_empty());
    let what = match (ciphertext, public, holder) {
        (Some(ciphertext), None, Protection::Software) => {
            Imported::Wrapped { ciphertext: ciphertext.to_vec(), hash: hash(fields)? }
        }
        (Some(ciphertext), public, Protection::Hsm) => {
            let ciphertext = ciphertext.to_vec();
            Imported::WrappedToHsm { ciphertext, hash: hash(fields)?, public }
        }
        (None, Some(pem), Protection::Software) => Imported::Public(pem),
        _ => {
            let said =
                "give exactly one of ciphertext and public_key, or both if unwrapped_in is hsm";
            return Err(VaultError::BadRequest(said.into()));
        }
    };
    let key_type = key_type(fields)?.unwrap_or(TransitKeyType::Aes256Gcm96);
    let (protection, settings) = (protection(fields)?.unwrap_or_default(), settings(fields)?);
    Ok(Import { key_type, protection, what, settings })
}

/// `GET /v1/MOUNT/backup/NAME`: all of a key, encrypted for this mount alone.
pub(in crate::vault) async fn backup(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Backup {
        backup: Zeroizing<String>,
    }
    call.expect(Verb::Get)?;
    let name = name(&call, 0)?;
    let backup = transit(&state, &call)?.back_up(&call.context, &call.caller, &name).await?;
    Ok(envelope::data(call.head(), MOUNT_TYPE, Backup { backup: Zeroizing::new(backup) }))
}

/// `POST /v1/MOUNT/restore/NAME`, or without the name: brings a `backup` back under a name that is free, or
/// under the one that the key had.
pub(in crate::vault) async fn restore(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let name = Some(part(&call, 0)?).filter(|name| !name.is_empty());
    let name = name.map(|name| parsed(&name)).transpose()?;
    let fields = call.fields()?;
    input::without(&fields, &["force"])?;
    let backup = fields.secret_text("backup", "a text")?;
    let backup = backup.ok_or_else(|| input::missing("backup"))?;
    let keys = transit(&state, &call)?;
    let restored = keys.restore(&call.context, &call.caller, name.as_ref(), &backup).await?;
    let (name, restored) = restored;
    Ok(shown(&call, &name, &restored))
}

/// `GET /v1/MOUNT/byok-export/DESTINATION/SOURCE` and `…/VERSION`: an exportable key, wrapped to another
/// one of type RSA, as `import` takes it.
pub(in crate::vault) async fn export(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Exported {
        name: String,
        r#type: &'static str,
        keys: BTreeMap<String, String>,
    }
    call.expect(Verb::Get)?;
    let (destination, source) = (name(&call, 0)?, name(&call, 1)?);
    let version = match part(&call, 2)?.as_str() {
        "" | "latest" => None,
        digits => {
            let version = digits.parse::<u64>();
            Some(
                version
                    .map_err(|_| VaultError::BadRequest("the version must be a number".into()))?,
            )
        }
    };
    let keys = transit(&state, &call)?;
    let exported = keys.export(&call.context, &call.caller, &source, &destination, version).await?;
    let (key, wrapped) = exported;
    let encoded =
        wrapped.iter().map(|(number, bytes)| (number.to_string(), STANDARD.encode(bytes)));
    let view = Exported {
        name: source.to_string(),
        r#type: key.key_type.as_str(),
        keys: encoded.collect(),
    };
    Ok(envelope::data(call.head(), MOUNT_TYPE, view))
}
