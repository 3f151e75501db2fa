//! Reads, writes, patches and deletes the values of a KV secret.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::kv::{Kv, KvError, SecretData, SecretPath, VersionMetadata};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::view::VersionView;
use super::{MOUNT_TYPE, secret_path};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;

/// A value with what is known of it.
#[derive(Serialize)]
struct Found<'a> {
    data: Option<&'a RawValue>,
    metadata: VersionView<'a>,
}

/// `/v1/MOUNT/data/PATH`: the values of a secret.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let path = secret_path(&call)?;
    let kv = state.secrets.kv(call.mount()?);
    match call.verb {
        Verb::Get => read(kv, &call, &path).await,
        Verb::Write => write(kv, &call, &path).await,
        Verb::Patch => patch(kv, &call, &path).await,
        Verb::Delete => {
            kv.delete_latest(&call.context, &call.caller, &path).await?;
            Ok(envelope::no_content())
        }
        Verb::List => Err(VaultError::Method),
    }
}

async fn read(kv: Kv<'_>, call: &Call, path: &SecretPath) -> Result<Response, VaultError> {
    let version = version(call)?;
    match kv.read(&call.context, &call.caller, path, version).await {
        Ok(found) => {
            let data = serde_json::from_str(found.data.as_json())
                .map_err(|_| VaultError::Internal("a stored value is not JSON"))?;
            let found = Found { data: Some(data), metadata: VersionView::of(&found.metadata) };
            Ok(envelope::data(call.head(), MOUNT_TYPE, found))
        }
        Err(KvError::Gone(metadata)) => Ok(gone(call, &metadata)),
        Err(error) => Err(error.into()),
    }
}

async fn write(kv: Kv<'_>, call: &Call, path: &SecretPath) -> Result<Response, VaultError> {
    let (data, cas) = value_and_cas(&call.fields()?)?;
    let written = kv.write(&call.context, &call.caller, path, &data, cas).await?;
    Ok(envelope::data(call.head(), MOUNT_TYPE, VersionView::of(&written)))
}

async fn patch(kv: Kv<'_>, call: &Call, path: &SecretPath) -> Result<Response, VaultError> {
    if !call.is_merge_patch() {
        return Err(VaultError::PatchFormat);
    }
    let (data, cas) = value_and_cas(&call.fields()?)?;
    match kv.patch(&call.context, &call.caller, path, &data, cas).await {
        Ok(written) => Ok(envelope::data(call.head(), MOUNT_TYPE, VersionView::of(&written))),
        Err(KvError::Gone(metadata)) => Ok(gone(call, &metadata)),
        Err(error) => Err(error.into()),
    }
}

/// The version that is asked for; none is the newest.
pub(super) fn version(call: &Call) -> Result<Option<u64>, VaultError> {
    match call.query("version").as_deref() {
        None | Some("" | "0") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| VaultError::BadRequest("version must be the number of a version".into())),
    }
}

/// A deleted or destroyed version is 404, but with a body that tells so.
fn gone(call: &Call, metadata: &VersionMetadata) -> Response {
    let left = Found { data: None, metadata: VersionView::of(metadata) };
    envelope::data_with(StatusCode::NOT_FOUND, call.head(), MOUNT_TYPE, left)
}

fn value_and_cas(fields: &Fields<'_>) -> Result<(SecretData, Option<u64>), VaultError> {
    let data = fields.raw("data").ok_or(VaultError::BadRequest("no data provided".into()))?;
    let data = SecretData::from_json(data).map_err(KvError::from)?;
    let cas = match fields.object("options")? {
        // As in Vault: to replace nothing, which is to create.
        Some(options) if options.is_null("cas") => Some(0),
        Some(options) => options.count("cas").map_err(|error| {
            let why = format!("error parsing check-and-set parameter: {}", error.told());
            VaultError::BadRequest(why.into())
        })?,
        None => None,
    };
    Ok((data, cas))
}
