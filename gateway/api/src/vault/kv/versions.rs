//! Deletes, undeletes and destroys versions of a KV secret.

use axum::extract::State;
use axum::response::Response;

use super::secret_path;
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;

/// `POST /v1/MOUNT/delete/PATH`: versions that can be brought back.
pub(in crate::vault) async fn delete(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let (path, versions) = (secret_path(&call)?, named_versions(&call)?);
    let kv = state.secrets.kv(call.mount()?);
    kv.delete_versions(&call.context, &call.caller, &path, &versions).await?;
    Ok(envelope::no_content())
}

/// `POST /v1/MOUNT/undelete/PATH`: brings them back.
pub(in crate::vault) async fn undelete(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let (path, versions) = (secret_path(&call)?, named_versions(&call)?);
    let kv = state.secrets.kv(call.mount()?);
    kv.undelete_versions(&call.context, &call.caller, &path, &versions).await?;
    Ok(envelope::no_content())
}

/// `PUT /v1/MOUNT/destroy/PATH`: removes values for good.
pub(in crate::vault) async fn destroy(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let (path, versions) = (secret_path(&call)?, named_versions(&call)?);
    let kv = state.secrets.kv(call.mount()?);
    kv.destroy_versions(&call.context, &call.caller, &path, &versions).await?;
    Ok(envelope::no_content())
}

fn named_versions(call: &Call) -> Result<Vec<u64>, VaultError> {
    call.expect(Verb::Write)?;
    call.fields()?.counts("versions", "a list of version numbers")
}
