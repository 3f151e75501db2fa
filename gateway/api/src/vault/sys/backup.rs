//! `/v1/sys/backup`: a consistent copy of the store, while it is in use. Vault has `sys/storage/raft/snapshot` for
//! this, in a format of its own storage.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::{BackupStream, VaultState};

/// `/v1/sys/backup`: the bytes of a backup (`chancery_seal::backup`). If it fails on the way, the connection breaks
/// off; what came before is no backup.
pub(in crate::vault) async fn make(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    let begin = |grant| Some((state.backup)(grant));
    let begun =
        state.access.administer(&call.context, &call.caller, "store.backup", "", begin).await?;
    let begun = begun.map_err(|error| {
        tracing::error!(error, "a backup cannot be begun");
        VaultError::Internal("the store cannot be read")
    })?;
    let backup = begun.ok_or(VaultError::Busy("another backup is being made: try again later"))?;
    let mut response = Response::new(Body::from_stream(pieces(backup)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let name = HeaderValue::from_static("attachment; filename=\"chancery.backup\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The pieces, and an error at the end if it is not whole.
fn pieces(backup: BackupStream) -> impl stream::Stream<Item = Result<Bytes, String>> {
    stream::unfold(Some(backup), |backup| async {
        let mut backup = backup?;
        if let Some(piece) = backup.pieces.recv().await {
            return Some((Ok(piece), Some(backup)));
        }
        match backup.outcome.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Err(error), None)),
            Err(_) => Some((Err("it was given up".to_owned()), None)),
        }
    })
}
