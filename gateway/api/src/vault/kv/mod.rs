//! `/v1/MOUNT`: the resources of a key-value mount, version 2.

pub(super) mod config;
pub(super) mod data;
pub(super) mod metadata;
pub(super) mod subkeys;
pub(super) mod versions;
mod view;

use axum::response::Response;
use chancery_secrets::kv::SecretPath;
use http::StatusCode;

use super::call::{Call, Verb};
use super::error::VaultError;
use super::{envelope, path};

const MOUNT_TYPE: &str = "kv";

/// The path of the secret that a call is about.
fn secret_path(call: &Call) -> Result<SecretPath, VaultError> {
    let (_, raw) = call.raw_target();
    Ok(SecretPath::parse(&path::decode(raw)?)?)
}

/// Whether a path behind the mount is one of this engine's.
pub(super) fn has(rest: &str) -> bool {
    match rest.split_once('/') {
        None => matches!(rest, "config" | "metadata"),
        Some((resource, _)) => {
            matches!(resource, "data" | "metadata" | "subkeys" | "delete" | "undelete" | "destroy")
        }
    }
}

/// The answer to a path of version 1, which has neither `data` nor `metadata` in it: clients that get it show the warning.
pub(super) fn of_version_1(call: &Call) -> Response {
    let command = match call.verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Write => "put",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    };
    let (mount, _) = call.raw_target();
    let warning = format!(
        "Invalid path for a versioned K/V secrets engine: its secrets are below {mount}/data/. On the command line, \
         use `bao kv {command}` or `vault kv {command}`."
    );
    envelope::warning(StatusCode::NOT_FOUND, call.head(), MOUNT_TYPE, warning)
}
