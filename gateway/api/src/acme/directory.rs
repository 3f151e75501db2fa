use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::Extensions;
use serde::Serialize;

use super::AcmeState;
use super::problem::Problem;
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
    let config = state.acme.config();
    Ok(Json(Directory {
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
    }))
}
