//! Lists the mounts that a caller may use, and the login methods.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::kv::Folder;
use chancery_secrets::{Mount, MountKind};
use serde::Serialize;

use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;
use crate::vault::{envelope, path};

/// How one logs in: path, type and description.
const METHODS: [(&str, &str, &str); 2] = [
    ("cert/", "cert", "login with the client certificate"),
    ("token/", "token", "tokens bound to client certificates"),
];

/// A mount as clients know it.
#[derive(Serialize)]
struct MountView {
    accessor: String,
    config: Config,
    description: String,
    external_entropy_access: bool,
    local: bool,
    options: Option<Options>,
    plugin_version: &'static str,
    running_plugin_version: &'static str,
    seal_wrap: bool,
    r#type: &'static str,
    uuid: &'static str,
}

#[derive(Serialize)]
struct Config {
    default_lease_ttl: u64,
    max_lease_ttl: u64,
    force_no_cache: bool,
}

#[derive(Serialize)]
struct Options {
    /// A text: clients compare it with `"2"`.
    version: &'static str,
}

impl MountView {
    fn of(mount: &Mount) -> Self {
        let (kind, options) = match mount.kind {
            MountKind::Kv => ("kv", Some(Options { version: "2" })),
            MountKind::Pki => ("pki", None),
            MountKind::Ssh => ("ssh", None),
            MountKind::Transit => ("transit", None),
        };
        Self::new(kind, &mount.name.to_string(), &mount.description, options)
    }

    fn new(kind: &'static str, name: &str, description: &str, options: Option<Options>) -> Self {
        Self {
            accessor: format!("{kind}_{name}"),
            config: Config { default_lease_ttl: 0, max_lease_ttl: 0, force_no_cache: false },
            description: description.to_owned(),
            external_entropy_access: false,
            local: false,
            options,
            plugin_version: "",
            running_plugin_version: "",
            seal_wrap: false,
            r#type: kind,
            uuid: "",
        }
    }
}

/// `GET /v1/sys/internal/ui/mounts/PATH`: what a client asks before its first request, to learn which
/// mount a path is in and which version of the engine stands there. A path outside all mounts and a
/// path that the caller may not use are the same 403.
pub(in crate::vault) async fn behind(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Behind {
        #[serde(flatten)]
        mount: MountView,
        path: String,
    }
    call.expect(Verb::Get)?;
    let raw = call.raw_path().strip_prefix("/v1/sys/internal/ui/mounts/").unwrap_or_default();
    let path = Folder::parse(&path::decode(raw)?)?;
    let path = path.as_str().trim_end_matches('/');
    let mount = state.secrets.mount_behind(&call.context, &call.caller, path).await?;
    let found = Behind { mount: MountView::of(mount), path: format!("{}/", mount.name) };
    Ok(envelope::data(call.head(), "system", found))
}

/// `GET /v1/sys/internal/ui/mounts`: the mounts that the caller may use.
pub(in crate::vault) async fn visible(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Method {
        description: &'static str,
        options: Option<()>,
        r#type: &'static str,
    }
    #[derive(Serialize)]
    struct Visible {
        auth: BTreeMap<&'static str, Method>,
        secret: BTreeMap<String, MountView>,
    }
    call.expect(Verb::Get)?;
    let secret = mounts(&state, &call).await?;
    let method =
        |(path, r#type, description)| (path, Method { description, options: None, r#type });
    let auth = METHODS.map(method).into();
    Ok(envelope::data(call.head(), "system", Visible { auth, secret }))
}

/// `GET /v1/sys/mounts`: the same, in the form of old clients, which read the top level.
pub(in crate::vault) async fn all(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    Ok(envelope::data_twice(call.head(), &mounts(&state, &call).await?))
}

/// `GET /v1/sys/auth`: how one logs in, in the form of old clients too. It is the same for everybody.
pub(in crate::vault) async fn auth(call: Call) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    let method = |(path, kind, description): (&'static str, &'static str, &str)| {
        (path, MountView::new(kind, kind, description, None))
    };
    let methods: BTreeMap<_, _> = METHODS.map(method).into();
    Ok(envelope::data_twice(call.head(), &methods))
}

async fn mounts(
    state: &VaultState,
    call: &Call,
) -> Result<BTreeMap<String, MountView>, VaultError> {
    let visible = state.secrets.visible_mounts(&call.context, &call.caller).await?;
    let view = |mount: &Mount| (format!("{}/", mount.name), MountView::of(mount));
    Ok(visible.into_iter().map(view).collect())
}
