//! Lists and searches issued certificates, all of them or the revoked ones.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::pki::{MAX_PAGE, Search, Searched};
use serde::Serialize;

use super::view::{self, CertificateView};
use super::{MOUNT_TYPE, search, serial};
use crate::vault::call::{Call, Verb, is_true};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::page;
use crate::vault::state::VaultState;

/// `LIST /v1/MOUNT/certs`: the serial numbers of the certificates that fit the query, and in `key_info`
/// what they are, with `pem=true` also themselves. `after` and `limit` turn pages, as in Vault.
pub(in crate::vault) async fn all(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let search = search::read(state.clock.now(), |name| Ok(call.query(name)))?;
    list(&state, &call, &search).await
}

/// `LIST /v1/MOUNT/certs/revoked`: those that are revoked.
pub(in crate::vault) async fn revoked(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let search = search::read(state.clock.now(), |name| Ok(call.query(name)))?;
    list(&state, &call, &Search { revoked: Some(true), ..search }).await
}

async fn list(state: &VaultState, call: &Call, search: &Search) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Found {
        keys: Vec<String>,
        key_info: BTreeMap<String, CertificateView>,
        /// Whose records are damaged, so that it is not known whether they fit.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        damaged: Vec<String>,
    }
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let after = call.query("after").filter(|after| !after.is_empty());
    let after = after.map(|after| serial(&after)).transpose()?;
    let limit = page::limit(call)?.unwrap_or(MAX_PAGE);
    let pki = state.secrets.pki(&call.mount()?);
    let Searched { entries: found, damaged } =
        pki.list(&call.context, &call.caller, search, after.as_ref(), limit).await?;
    let more = found.len() == limit.min(MAX_PAGE);
    let shown = if call.query("pem").is_some_and(|pem| is_true(&pem)) {
        CertificateView::with_certificate
    } else {
        CertificateView::of
    };
    let views: Vec<_> = found.iter().map(shown).collect();
    let keys: Vec<String> = views.iter().map(|view| view.serial_number.clone()).collect();
    let warnings = keys.last().filter(|_| more).map(|last| {
        format!("there may be more certificates: go on with the query parameter after={last}")
    });
    let damaged: Vec<String> = damaged.iter().map(view::serial).collect();
    let passed_over = (!damaged.is_empty()).then(|| {
        format!(
            "the records of these certificates are damaged, and they were passed over: {}",
            damaged.join(", ")
        )
    });
    let key_info = views.into_iter().map(|view| (view.serial_number.clone(), view)).collect();
    let found = Found { keys, key_info, damaged };
    let warnings = warnings.into_iter().chain(passed_over).collect();
    Ok(envelope::data_and_warnings(call.head(), MOUNT_TYPE, found, warnings))
}
