//! Creates, lists, reads, changes and deletes transit keys.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::transit::{
    NewKey, Protection, SettingsUpdate, TransitKey, TransitKeyName, TransitKeyType,
};
use serde::Serialize;

use super::view::KeyView;
use super::{MOUNT_TYPE, input, name, parsed, part, transit};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::page;
use crate::vault::state::VaultState;

/// `LIST /v1/MOUNT/keys`: the names of keys; `after` and `limit` turn pages.
pub(in crate::vault) async fn list(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Names {
        keys: Vec<String>,
    }
    call.expect(Verb::List)?;
    let page = page::of(&call)?;
    let keys = transit(&state, &call)?.list(&call.context, &call.caller, &page).await?;
    if keys.is_empty() {
        // As Vault has it: an empty list is nothing.
        return Err(VaultError::Transit(chancery_secrets::transit::TransitError::NotFound));
    }
    Ok(envelope::data(call.head(), MOUNT_TYPE, Names { keys }))
}

/// `/v1/MOUNT/keys/NAME`: reads, makes and deletes a key.
pub(in crate::vault) async fn one(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let (keys, name) = (transit(&state, &call)?, name(&call, 0)?);
    let (context, caller) = (&call.context, &call.caller);
    match call.verb {
        Verb::Get => Ok(shown(&call, &name, &keys.read(context, caller, &name).await?)),
        Verb::Write => {
            let wanted = wanted(&call.fields()?)?;
            Ok(shown(&call, &name, &keys.create(context, caller, &name, wanted).await?))
        }
        Verb::Delete => {
            keys.delete(context, caller, &name).await?;
            Ok(envelope::no_content())
        }
        Verb::List | Verb::Patch => Err(VaultError::Method),
    }
}

/// `POST /v1/MOUNT/keys/NAME/ACTION`: what happens in a key's life.
pub(in crate::vault) async fn change(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let (keys, name) = (transit(&state, &call)?, name(&call, 0)?);
    let (context, caller) = (&call.context, &call.caller);
    let changed = match part(&call, 1)?.as_str() {
        "config" => {
            let update = settings(&call.fields()?)?;
            keys.update(context, caller, &name, update).await?
        }
        "rotate" => keys.rotate(context, caller, &name).await?,
        "trim" => {
            let least = call.fields()?.count("min_available_version")?;
            let least = least.ok_or_else(|| input::missing("min_available_version"))?;
            keys.trim(context, caller, &name, least).await?
        }
        "disable" => keys.disable(context, caller, &name).await?,
        "enable" => keys.enable(context, caller, &name).await?,
        "undelete" => keys.undelete(context, caller, &name).await?,
        "purge" => {
            keys.purge(context, caller, &name).await?;
            return Ok(envelope::no_content());
        }
        _ => return Err(VaultError::NoRoute),
    };
    Ok(shown(&call, &name, &changed))
}

pub(super) fn shown(call: &Call, name: &TransitKeyName, key: &TransitKey) -> Response {
    envelope::data(call.head(), MOUNT_TYPE, KeyView::of(name, key))
}

fn wanted(fields: &Fields<'_>) -> Result<NewKey, VaultError> {
    // Keys that derive others by context are not there, and backups are never in the clear.
    let others = ["derived", "convergent_encryption", "allow_plaintext_backup", "context"];
    input::without(fields, &others)?;
    Ok(NewKey {
        key_type: key_type(fields)?,
        protection: protection(fields)?,
        settings: settings(fields)?,
    })
}

pub(super) fn protection(fields: &Fields<'_>) -> Result<Option<Protection>, VaultError> {
    let protection = fields.named("protection", "a text")?;
    protection.map(|text| parsed(&text)).transpose()
}

/// The type of key; `ml-dsa` has its size elsewhere.
pub(super) fn key_type(fields: &Fields<'_>) -> Result<Option<TransitKeyType>, VaultError> {
    let text = fields.named("type", "a text")?;
    let Some(text) = text else { return Ok(None) };
    if text != "ml-dsa" {
        return parsed(&text).map(Some);
    }
    let size = fields.named("parameter_set", "44, 65 or 87")?;
    parsed(&format!("ml-dsa-{}", size.as_deref().unwrap_or("65"))).map(Some)
}

pub(super) fn settings(fields: &Fields<'_>) -> Result<SettingsUpdate, VaultError> {
    Ok(SettingsUpdate {
        min_decryption_version: fields.count("min_decryption_version")?,
        min_encryption_version: fields.count("min_encryption_version")?,
        deletion_allowed: fields.flag("deletion_allowed")?,
        exportable: fields.flag("exportable")?,
        allow_rotation: fields.flag("allow_rotation")?,
        rotation_period: fields.span("auto_rotate_period")?,
        deletion_wait: fields.span("deletion_wait")?,
        purge_protection: fields.flag("purge_protection")?,
    })
}
