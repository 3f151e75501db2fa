//! `/v1/MOUNT`: the resources of a mount for SSH certificates, as Vault's SSH engine has them.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chancery_secrets::MountKind;
use chancery_secrets::ssh::{Kind, Options, SshPublicKey, Wanted};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::call::{Call, Verb};
use super::error::VaultError;
use super::public_resource::PublicResource;
use super::state::VaultState;
use super::{envelope, path};
use crate::url;
use crate::vault::fields::Fields;

const MOUNT_TYPE: &str = "ssh";

/// `POST /v1/MOUNT/sign/ROLE`: signs a `public_key` for `valid_principals`.
pub(super) async fn sign(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Signed {
        serial_number: String,
        signed_key: String,
    }
    call.expect(Verb::Write)?;
    let (_, raw) = call.raw_target();
    let role = path::decode(raw)?;
    let fields = call.fields()?;
    let wanted = wanted(role, &fields)?;
    let ssh = state.secrets.ssh(&call.mount()?);
    let issued = ssh.sign(&call.context, &call.caller, wanted).await?;
    let signed =
        Signed { serial_number: format!("{:016x}", issued.serial), signed_key: issued.line + "\n" };
    Ok(envelope::data(call.head(), MOUNT_TYPE, signed))
}

/// `GET /v1/MOUNT/public_key`: the key that signs certificates of users, or of hosts with `cert_type=host`,
/// as one line and nothing around it. As in Vault, it needs no certificate of the client: hosts are to get it that have none.
pub(super) async fn public_key(
    State(state): State<VaultState>,
    request: Request,
) -> Result<Response, VaultError> {
    let found = PublicResource::find(state.clone(), request, MountKind::Ssh, Some(())).await?;
    let (mount, request) = match found {
        PublicResource::Found((), mount, request) => (mount, request),
        PublicResource::NotFound(answer) => return Ok(answer),
    };
    let kind = kind(url::parameter(request.uri(), "cert_type").as_deref())?;
    let line = state.secrets.ssh(&mount).public_key(kind).ok_or(VaultError::NoRoute)?;
    Ok(([(CONTENT_TYPE, "text/plain")], line + "\n").into_response())
}

/// `GET /v1/MOUNT/config/ca`: the same in JSON.
pub(super) async fn config_ca(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Ca {
        public_key: String,
    }
    call.expect(Verb::Get)?;
    let kind = kind(call.query("cert_type").as_deref())?;
    let key = state.secrets.ssh(&call.mount()?).public_key(kind);
    let public_key = key.ok_or(VaultError::NoRoute)?;
    Ok(envelope::data(call.head(), MOUNT_TYPE, Ca { public_key }))
}

fn kind(text: Option<&str>) -> Result<Kind, VaultError> {
    match text {
        None | Some("" | "user") => Ok(Kind::User),
        Some("host") => Ok(Kind::Host),
        Some(_) => Err(VaultError::BadRequest("cert_type must be user or host".into())),
    }
}

fn wanted(role: String, fields: &Fields<'_>) -> Result<Wanted, VaultError> {
    let text = |name: &str| fields.text(name, "a text");
    let map = |name: &str| fields.full_map(name, "an object with texts as values");
    if text("key_id")?.is_some_and(|id| !id.is_empty()) {
        // It would not be heeded, and hosts would log something else than was asked for.
        return Err(VaultError::BadRequest(
            "key_id is made here, of the identity and the request: leave it out".into(),
        ));
    }
    let public_key = text("public_key")?
        .ok_or_else(|| VaultError::BadRequest("public_key is missing: give one line".into()))?;
    let public_key = SshPublicKey::parse(&public_key)
        .map_err(|error| VaultError::BadRequest(format!("public_key: {error}").into()))?;
    let kind = kind(text("cert_type")?.as_deref())?;
    let principals = fields.texts("valid_principals", "names, in a list or with commas between")?;
    // Clients that want the usual send an empty text or 0.
    let ttl = fields.span("ttl")?.filter(|ttl| !ttl.is_zero());
    // What users expect of a login, and nothing that reaches further.
    let usual = || match kind {
        Kind::User => BTreeMap::from([("permit-pty".to_owned(), String::new())]),
        Kind::Host => BTreeMap::new(),
    };
    Ok(Wanted {
        role,
        public_key,
        kind,
        principals,
        ttl,
        options: Options {
            critical: map("critical_options")?.unwrap_or_default(),
            extensions: map("extensions")?.unwrap_or_else(usual),
        },
    })
}
