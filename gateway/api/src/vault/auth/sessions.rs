//! `/v1/auth/token`: the sessions of others, by accessor as in Vault, and by identity.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chancery_access::{AccessError, MAX_SESSIONS};
use serde::Serialize;

use super::token::TokenView;
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::page;
use crate::vault::state::VaultState;

const TOKEN: &str = "token";

/// How many sessions were ended.
#[derive(Serialize)]
struct Ended {
    revoked: usize,
    /// Whether there may be more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// `LIST /v1/auth/token/accessors`: the accessors of the sessions of the tenant, and in `key_info` what is
/// known of each. `identity` has those of one, `after` and `limit` turn pages, of which `next` says where the next one
/// begins.
pub(in crate::vault) async fn accessors(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Found<'a> {
        keys: Vec<&'a str>,
        key_info: BTreeMap<&'a str, TokenView<'a>>,
        /// After which accessor to go on.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a str>,
    }
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let given = |name| call.query(name).filter(|text| !text.is_empty());
    let (identity, after) = (given("identity"), given("after"));
    let limit = page::limit(&call)?.unwrap_or(MAX_SESSIONS);
    let sessions = state
        .access
        .sessions(&call.context, &call.caller, identity.as_deref(), after.as_deref(), limit)
        .await
        .map_err(of_accessor)?;
    let now = state.clock.now();
    let keys: Vec<_> = sessions.found.iter().map(|info| info.accessor.as_str()).collect();
    let next = sessions.next.as_deref();
    let warnings = next.map(|next| {
        format!("there may be more sessions: go on with the query parameter after={next}")
    });
    let view = |info| TokenView::of("", info, now);
    let key_info = sessions.found.iter().map(|info| (info.accessor.as_str(), view(info))).collect();
    let found = Found { keys, key_info, next };
    Ok(envelope::data_and_warnings(call.head(), TOKEN, found, warnings.into_iter().collect()))
}

/// `POST /v1/auth/token/lookup-accessor`: what is known of the session with an `accessor`.
pub(in crate::vault) async fn lookup(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let accessor = accessor(&call)?;
    let info =
        state.access.session(&call.context, &call.caller, &accessor).await.map_err(of_accessor)?;
    Ok(envelope::data(call.head(), TOKEN, TokenView::of("", &info, state.clock.now())))
}

/// `POST /v1/auth/token/revoke-accessor`: ends the session with an `accessor`. One that has ended is fine,
/// with a warning.
pub(in crate::vault) async fn revoke(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let accessor = accessor(&call)?;
    match state.access.revoke_session(&call.context, &call.caller, &accessor).await {
        Ok(_) => Ok(envelope::no_content()),
        Err(AccessError::NotFound) => {
            let warnings = vec!["No token found with this accessor".to_owned()];
            Ok(envelope::data_and_warnings(
                call.head(),
                TOKEN,
                Ended { revoked: 0, more: false },
                warnings,
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /v1/auth/token/revoke-identity`: ends all sessions of an `identity`, and tells how many there were.
/// Vault has no such resource.
pub(in crate::vault) async fn revoke_identity(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let expected = "an identity, such as spiffe://prod.example/app";
    let identity = call.fields()?.text("identity", expected)?.filter(|text| !text.is_empty());
    let identity = identity.ok_or_else(|| {
        VaultError::BadRequest(format!("identity is missing: give {expected}").into())
    })?;
    let ended = state.access.revoke_sessions_of(&call.context, &call.caller, &identity).await?;
    let warnings = ended.more.then(|| "there may be more sessions: ask again".to_owned());
    let ended = Ended { revoked: ended.count, more: ended.more };
    Ok(envelope::data_and_warnings(call.head(), TOKEN, ended, warnings.into_iter().collect()))
}

fn accessor(call: &Call) -> Result<String, VaultError> {
    let accessor = call.fields()?.text("accessor", "an accessor, as a text")?;
    accessor
        .filter(|accessor| !accessor.is_empty())
        .ok_or(VaultError::BadRequest("missing accessor".into()))
}

/// There is no session with the accessor.
fn of_accessor(error: AccessError) -> VaultError {
    match error {
        AccessError::NotFound => VaultError::BadRequest("invalid accessor".into()),
        error => error.into(),
    }
}
