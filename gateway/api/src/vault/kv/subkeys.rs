//! Reads the names in the value of a KV secret, without the values.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::kv::{KvError, VersionMetadata};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::data::version;
use super::view::VersionView;
use super::{MOUNT_TYPE, secret_path};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;

/// The names in a value, each with null, and what is known of the version.
#[derive(Serialize)]
struct Found<'a> {
    subkeys: Option<&'a RawValue>,
    metadata: VersionView<'a>,
}

/// `GET /v1/MOUNT/subkeys/PATH`: the names in the value of a secret, so many levels down as the query
/// parameter `depth` says.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    let path = secret_path(&call)?;
    let kv = state.secrets.kv(call.mount()?);
    let (version, depth) = (version(&call)?, depth(&call)?);
    match kv.read_subkeys(&call.context, &call.caller, &path, version, depth).await {
        Ok(found) => {
            let subkeys = serde_json::from_str(found.data.as_json())
                .map_err(|_| VaultError::Internal("a stored value is not JSON"))?;
            let metadata = VersionView::of(&found.metadata);
            let found = Found { subkeys: Some(subkeys), metadata };
            Ok(envelope::data(call.head(), MOUNT_TYPE, found))
        }
        Err(KvError::Gone(metadata)) => Ok(gone(&call, &metadata)),
        Err(error) => Err(error.into()),
    }
}

/// Of a deleted or destroyed version there are no names.
fn gone(call: &Call, metadata: &VersionMetadata) -> Response {
    let left = Found { subkeys: None, metadata: VersionView::of(metadata) };
    envelope::data_with(StatusCode::NOT_FOUND, call.head(), MOUNT_TYPE, left)
}

/// None is all of them.
fn depth(call: &Call) -> Result<Option<u32>, VaultError> {
    match call.query("depth").as_deref() {
        None | Some("" | "0") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            VaultError::BadRequest("depth must be a whole number that is not negative".into())
        }),
    }
}
