use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{OriginalUri, Request, State};
use http::StatusCode;
use serde::Serialize;

use super::AcmeState;
use super::problem::{Problem, Type};
use super::urls::Urls;

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
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Json<Directory>, Problem> {
    let (parts, _) = request.into_parts();
    let urls = Urls::of(&parts, &uri).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, Type::Malformed, "the request names no valid host")
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
