//! `/v1/sys/groups` and `/v1/sys/data-sets`: what policies look up. Vault has no such resources; they
//! follow its manners.

use axum::extract::State;
use axum::response::Response;
use chancery_access::{DataSet, Group};
use serde::Serialize;

use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;
use crate::vault::{envelope, page, path};

const SYSTEM: &str = "system";

#[derive(Serialize)]
struct Names {
    keys: Vec<String>,
}

/// `/v1/sys/groups`: the names of the groups.
pub(in crate::vault) async fn groups(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let page = page::of(&call)?;
    let keys = page.of(state.access.groups().list(&call.context, &call.caller).await?);
    Ok(envelope::data(call.head(), SYSTEM, Names { keys }))
}

/// `/v1/sys/groups/NAME`: the members of a group, `{"members": [IDENTITY, …]}`.
pub(in crate::vault) async fn group(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct View<'a> {
        members: &'a Group,
    }
    let name = name(&call)?;
    let groups = state.access.groups();
    match call.verb {
        Verb::Get => {
            let group = groups.read(&call.context, &call.caller, &name).await?;
            Ok(envelope::data(call.head(), SYSTEM, View { members: &group.value }))
        }
        Verb::Write => {
            let members = call.fields()?.get("members", "a list of identities")?;
            let members = members.ok_or_else(|| missing("members", "a list of identities"))?;
            groups.write(&call.context, &call.caller, &name, members).await?;
            Ok(envelope::no_content())
        }
        Verb::Delete => {
            groups.delete(&call.context, &call.caller, &name).await?;
            Ok(envelope::no_content())
        }
        Verb::List | Verb::Patch => Err(VaultError::Method),
    }
}

/// `/v1/sys/data-sets`: the names of the data sets.
pub(in crate::vault) async fn data_sets(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let page = page::of(&call)?;
    let keys = page.of(state.access.data_sets().list(&call.context, &call.caller).await?);
    Ok(envelope::data(call.head(), SYSTEM, Names { keys }))
}

/// `/v1/sys/data-sets/NAME`: the contents of a data set, `{"entries": {KEY: VALUE, …}}`.
pub(in crate::vault) async fn data_set(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct View<'a> {
        entries: &'a DataSet,
    }
    let name = name(&call)?;
    let sets = state.access.data_sets();
    match call.verb {
        Verb::Get => {
            let set = sets.read(&call.context, &call.caller, &name).await?;
            Ok(envelope::data(call.head(), SYSTEM, View { entries: &set.value }))
        }
        Verb::Write => {
            let entries = call.fields()?.get("entries", "an object of texts")?;
            let entries = entries.ok_or_else(|| missing("entries", "an object of texts"))?;
            sets.write(&call.context, &call.caller, &name, entries).await?;
            Ok(envelope::no_content())
        }
        Verb::Delete => {
            sets.delete(&call.context, &call.caller, &name).await?;
            Ok(envelope::no_content())
        }
        Verb::List | Verb::Patch => Err(VaultError::Method),
    }
}

/// The last segment of the path.
fn name(call: &Call) -> Result<String, VaultError> {
    let (_, raw) = call.raw_path().rsplit_once('/').unwrap_or_default();
    path::decode(raw)
}

fn missing(field: &str, expected: &str) -> VaultError {
    VaultError::BadRequest(format!("{field} is missing: give {expected}").into())
}
