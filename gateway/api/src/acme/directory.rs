//! Serves the directory of the ACME server (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::Extensions;
use serde::Serialize;

use super::AcmeState;
use super::order::read_only;
use super::problem::Problem;
use super::request::Call;
use super::urls::{NoHost, Urls};

/// RFC 8555 §7.1.1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    revoke_cert: String,
    key_change: String,
    meta: Meta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    terms_of_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    website: Option<String>,
    /// draft-ietf-acme-profiles §3.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    profiles: BTreeMap<String, String>,
}

pub(super) async fn show(
    State(state): State<AcmeState>,
    extensions: Extensions,
) -> Result<Json<Directory>, Problem> {
    let urls = Urls::of(&extensions).map_err(|NoHost| {
        tracing::error!("a request reached ACME without its host");
        Problem::internal()
    })?;
    Ok(Json(directory(&state, &urls)))
}

/// The same by POST-as-GET (RFC 8555 §6.3).
pub(super) async fn read(
    State(state): State<AcmeState>,
    call: Call,
) -> Result<Json<Directory>, Problem> {
    let (_, payload) = state.acme.by_account(&call.context, call.target(), &call.body).await?;
    read_only(&payload)?;
    Ok(Json(directory(&state, &call.urls)))
}

fn directory(state: &AcmeState, urls: &Urls) -> Directory {
    let config = state.acme.config();
    Directory {
        new_nonce: urls.new_nonce(),
        new_account: urls.new_account(),
        new_order: urls.new_order(),
        revoke_cert: urls.revoke_cert(),
        key_change: urls.key_change(),
        meta: Meta {
            terms_of_service: config.terms_of_service.clone(),
            website: config.website.clone(),
            profiles: config.profiles.clone(),
        },
    }
}
