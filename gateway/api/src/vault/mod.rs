//! The Vault HTTP API, version 1, as its real clients need it: one file per resource.
//!
//! Every answer is `application/json` and must not be cached. The certificate is looked at before a body
//! is read, and certificate and token when it is there: a handler gets a `Call`, which has
//! both behind it. The path is checked before any policy sees it; what an operation means is decided in
//! `chancery_secrets` and `chancery_access`. A request that is malformed never becomes an operation: it
//! is counted by route and status, and the audit log has it as `api.request` if it is known who sent it.

mod auth;
mod body;
mod call;
mod duration;
mod envelope;
mod error;
mod fields;
mod json;
mod kv;
mod page;
mod path;
mod pki;
mod public_resource;
mod ssh;
mod state;
mod sys;
mod transit;

use std::borrow::Cow;

use axum::Router;
use axum::extract::{FromRequest as _, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use chancery_access::AccessError;
use chancery_secrets::MountKind;
use chancery_secrets::kv::Folder;
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, StatusCode};
use tracing::Instrument;

use self::error::VaultError;
pub use self::state::{
    BackupStream, BeginBackup, Condition, Installation, KeyInToken, Tokens, VaultState,
};
use crate::Held;

/// Where health is told, which has statuses of its own.
pub(crate) const HEALTH: &str = "/v1/sys/health";

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

/// What is served under `/v1`.
pub fn router(state: VaultState) -> Router {
    Router::new()
        .route(HEALTH, any(sys::health::handle))
        .route("/v1/sys/seal-status", any(sys::seal_status::handle))
        .route("/v1/sys/init", any(sys::init::handle))
        .route("/v1/sys/leader", any(sys::leader::handle))
        .route("/v1/sys/mounts", any(sys::mounts::all))
        .route("/v1/sys/auth", any(sys::mounts::auth))
        .route("/v1/sys/internal/ui/mounts", any(sys::mounts::visible))
        .route("/v1/sys/internal/ui/mounts/{*path}", any(sys::mounts::behind))
        .route("/v1/sys/groups", any(sys::directory::groups))
        .route("/v1/sys/groups/", any(sys::directory::groups))
        .route("/v1/sys/groups/{name}", any(sys::directory::group))
        .route("/v1/sys/data-sets", any(sys::directory::data_sets))
        .route("/v1/sys/data-sets/", any(sys::directory::data_sets))
        .route("/v1/sys/data-sets/{name}", any(sys::directory::data_set))
        .route("/v1/sys/policy-set", any(sys::policy_set::show))
        .route("/v1/sys/policy-set/reload", any(sys::policy_set::reload))
        .route("/v1/sys/policy-set/rollback", any(sys::policy_set::roll_back))
        .route("/v1/sys/backup", any(sys::backup::make))
        .route("/v1/sys/keys", any(sys::tokens::keys))
        .route("/v1/sys/tokens", any(sys::tokens::list))
        .route("/v1/sys/tokens/{token}/drain", any(sys::tokens::drain))
        .route("/v1/sys/tokens/{token}/resume", any(sys::tokens::resume))
        .route("/v1/auth/cert/login", any(auth::cert::login))
        .route("/v1/auth/token/lookup-self", any(auth::token::lookup_self))
        .route("/v1/auth/token/renew-self", any(auth::token::renew_self))
        .route("/v1/auth/token/revoke-self", any(auth::token::revoke_self))
        .route("/v1/auth/token/accessors", any(auth::sessions::accessors))
        .route("/v1/auth/token/accessors/", any(auth::sessions::accessors))
        .route("/v1/auth/token/lookup-accessor", any(auth::sessions::lookup))
        .route("/v1/auth/token/revoke-accessor", any(auth::sessions::revoke))
        .route("/v1/auth/token/revoke-identity", any(auth::sessions::revoke_identity))
        .route("/v1/{mount}/config", any(kv::config::handle))
        .route("/v1/{mount}/data/{*path}", any(kv::data::handle))
        .route("/v1/{mount}/subkeys/{*path}", any(kv::subkeys::handle))
        .route("/v1/{mount}/delete/{*path}", any(kv::versions::delete))
        .route("/v1/{mount}/undelete/{*path}", any(kv::versions::undelete))
        .route("/v1/{mount}/destroy/{*path}", any(kv::versions::destroy))
        .route("/v1/{mount}/metadata", any(kv::metadata::handle))
        .route("/v1/{mount}/metadata/", any(kv::metadata::handle))
        .route("/v1/{mount}/metadata/{*path}", any(kv::metadata::handle))
        .route("/v1/{mount}/certs", any(pki::certs::all))
        .route("/v1/{mount}/certs/", any(pki::certs::all))
        .route("/v1/{mount}/certs/revoked", any(pki::certs::revoked))
        .route("/v1/{mount}/certs/revoked/", any(pki::certs::revoked))
        .route("/v1/{mount}/ca", any(pki::public::handle))
        .route("/v1/{mount}/ca/pem", any(pki::public::handle))
        .route("/v1/{mount}/ca_chain", any(pki::public::handle))
        .route("/v1/{mount}/crl", any(pki::public::handle))
        .route("/v1/{mount}/crl/pem", any(pki::public::handle))
        .route("/v1/{mount}/cert/ca", any(pki::public::handle))
        .route("/v1/{mount}/cert/ca/{*form}", any(pki::public::handle))
        .route("/v1/{mount}/cert/ca_chain", any(pki::public::handle))
        .route("/v1/{mount}/cert/crl", any(pki::public::handle))
        .route("/v1/{mount}/cert/crl/{*form}", any(pki::public::handle))
        .route("/v1/{mount}/cert/{serial}", any(pki::cert::handle))
        .route("/v1/{mount}/revoke", any(pki::revoke::one))
        .route("/v1/{mount}/revoke-matching", any(pki::revoke::matching))
        .route("/v1/{mount}/sign/{name}", any(sign))
        .route("/v1/{mount}/public_key", any(ssh::public_key))
        .route("/v1/{mount}/config/ca", any(ssh::config_ca))
        .route("/v1/{mount}/keys", any(transit::keys::list))
        .route("/v1/{mount}/keys/", any(transit::keys::list))
        .route("/v1/{mount}/keys/{name}", any(transit::keys::one))
        .route("/v1/{mount}/keys/{name}/import", any(transit::transfer::import))
        .route("/v1/{mount}/keys/{name}/import_version", any(transit::transfer::import_version))
        .route("/v1/{mount}/keys/{name}/{action}", any(transit::keys::change))
        .route("/v1/{mount}/wrapping_key", any(transit::transfer::wrapping_key))
        .route("/v1/{mount}/backup/{name}", any(transit::transfer::backup))
        .route("/v1/{mount}/restore", any(transit::transfer::restore))
        .route("/v1/{mount}/restore/", any(transit::transfer::restore))
        .route("/v1/{mount}/restore/{name}", any(transit::transfer::restore))
        .route("/v1/{mount}/byok-export/{to}/{name}", any(transit::transfer::export))
        .route("/v1/{mount}/byok-export/{to}/{name}/{version}", any(transit::transfer::export))
        .route("/v1/{mount}/encrypt/{name}", any(transit::encryption::encrypt))
        .route("/v1/{mount}/decrypt/{name}", any(transit::encryption::decrypt))
        .route("/v1/{mount}/rewrap/{name}", any(transit::encryption::rewrap))
        .route("/v1/{mount}/datakey/{kind}/{name}", any(transit::encryption::data_key))
        .route("/v1/{mount}/sign/{name}/{hash}", any(transit::signing::sign))
        .route("/v1/{mount}/verify/{name}", any(transit::signing::verify))
        .route("/v1/{mount}/verify/{name}/{hash}", any(transit::signing::verify))
        .route("/v1/{mount}/hmac/{name}", any(transit::signing::hmac))
        .route("/v1/{mount}/hmac/{name}/{hash}", any(transit::signing::hmac))
        .fallback(unknown)
        .layer(axum::middleware::from_fn_with_state(state.clone(), of_version_1))
        .layer(axum::middleware::from_fn(finish))
        .with_state(state)
}

/// `POST /v1/MOUNT/sign/NAME` means another thing for each kind of mount.
async fn sign(state: State<VaultState>, call: call::Call) -> Result<Response, VaultError> {
    match state.secrets.kind_of(&call.mount()?) {
        Some(MountKind::Transit) => transit::signing::sign(state, call).await,
        Some(MountKind::Pki) => pki::sign::handle(state, call).await,
        _ => ssh::sign(state, call).await,
    }
}

/// A request that called the gateway by a name that is not its own.
pub(crate) fn misdirected(status: StatusCode, detail: Cow<'static, str>) -> Response {
    envelope::errors(status, &[detail])
}

/// The answer in the place of one that is not on record.
pub(crate) fn unrecorded() -> Response {
    VaultError::Internal("a refusal is not on record").into_response()
}

/// Whatever has no route. To callers who are nobody it looks like everything else.
async fn unknown(
    State(state): State<VaultState>,
    call: call::Call,
) -> Result<Response, VaultError> {
    let Some(path) = call.raw_path().strip_prefix("/v1/") else { return Err(VaultError::NoRoute) };
    let path = path::decode(path)?;
    let (mount, rest) = path.split_once('/').unwrap_or((&path, ""));
    if mount.parse().ok().and_then(|name| state.secrets.kind_of(&name)) != Some(MountKind::Kv) {
        return Err(VaultError::NoRoute);
    }
    let asked = format!("{mount}/{}", Folder::parse(rest)?.as_str());
    // Only those learn what is mounted who may do anything there.
    match state.secrets.mount_behind(&call.context, &call.caller, &asked).await {
        Ok(_) => Ok(kv::of_version_1(&call)),
        Err(AccessError::Gate(refused)) if refused.denied().is_some() => Err(VaultError::NoRoute),
        Err(error) => Err(error.into()),
    }
}

/// A path of version 1 of the key-value engine, whatever it is called, is not one of another kind of mount.
async fn of_version_1(
    state: State<VaultState>,
    request: Request,
    next: Next,
) -> Result<Response, VaultError> {
    let mut parts = request.uri().path().splitn(4, '/').skip(2);
    let (mount, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_kv =
        mount.parse().ok().and_then(|name| state.secrets.kind_of(&name)) == Some(MountKind::Kv);
    if is_kv && !kv::has(rest) {
        let call = call::Call::from_request(request, &state).await?;
        return unknown(state, call).await;
    }
    Ok(next.run(request).await)
}

/// What all answers have in common.
async fn finish(request: Request, next: Next) -> Response {
    let namespace = request.headers().get(NAMESPACE).cloned();
    // In a task of its own: a client that hangs up must not stop an operation between being done and
    // being recorded.
    let held = request.extensions().get::<Held>().cloned();
    let work = async move {
        let _held = held;
        next.run(request).await
    };
    let handled = tokio::spawn(work.in_current_span()).await;
    let mut response = handled
        .unwrap_or_else(|_| VaultError::Internal("a request's handler panicked").into_response());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(namespace) = namespace {
        response.headers_mut().insert(NAMESPACE, namespace);
    }
    response
}
