//! Reads and writes the settings of a KV mount.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::kv::{DEFAULT_MAX_VERSIONS, KvConfig, KvConfigUpdate, Retention};
use serde::Serialize;

use super::MOUNT_TYPE;
use super::metadata::{cas_required, max_versions};
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;
use crate::vault::{duration, envelope};

/// The settings of a mount as clients know them.
#[derive(Serialize)]
struct View {
    cas_required: bool,
    delete_version_after: String,
    max_versions: u32,
}

/// `/v1/MOUNT/config`: the settings of a mount.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    match call.verb {
        Verb::Get => {
            let kv = state.secrets.kv(call.mount()?);
            let config = kv.read_config(&call.context, &call.caller).await?;
            Ok(envelope::data(call.head(), MOUNT_TYPE, view(&config)))
        }
        Verb::Write => {
            let update = update(&call.fields()?)?;
            let kv = state.secrets.kv(call.mount()?);
            kv.write_config(&call.context, &call.caller, &update).await?;
            Ok(envelope::no_content())
        }
        Verb::List | Verb::Patch | Verb::Delete => Err(VaultError::Method),
    }
}

fn view(config: &KvConfig) -> View {
    View {
        cas_required: config.cas_required,
        delete_version_after: match config.delete_version_after {
            Retention::Unset => "0s".to_owned(),
            Retention::After(after) => duration::show(after),
            Retention::Never => "-1s".to_owned(),
        },
        max_versions: config.max_versions.unwrap_or(DEFAULT_MAX_VERSIONS),
    }
}

fn update(fields: &Fields<'_>) -> Result<KvConfigUpdate, VaultError> {
    let delete_version_after = fields.duration("delete_version_after")?.map(|after| {
        if after.negative { Retention::Never } else { Retention::After(after.length) }
    });
    Ok(KvConfigUpdate {
        max_versions: max_versions(fields)?,
        cas_required: cas_required(fields)?,
        delete_version_after,
    })
}
