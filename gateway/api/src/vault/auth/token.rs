//! Looks up, renews and revokes the caller's own token over Vault's API.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chancery_access::{AccessError, TokenInfo};
use jiff::Timestamp;
use serde::Serialize;

use super::session::{POLICIES, Session, metadata, seconds};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;

/// A token as its holder, and those who look after sessions, may see it.
#[derive(Serialize)]
pub(super) struct TokenView<'a> {
    accessor: &'a str,
    /// Of a bearer token, from where it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_cidrs: Option<Vec<String>>,
    creation_time: i64,
    creation_ttl: u64,
    display_name: String,
    entity_id: &'a str,
    expire_time: Timestamp,
    explicit_max_ttl: u64,
    id: &'a str,
    issue_time: Timestamp,
    meta: BTreeMap<&'a str, String>,
    num_uses: u64,
    orphan: bool,
    path: &'a str,
    policies: [&'a str; 1],
    renewable: bool,
    ttl: u64,
    r#type: &'a str,
}

impl<'a> TokenView<'a> {
    /// With the token itself for its holder; others see none.
    pub(super) fn of(token: &'a str, info: &'a TokenInfo, now: Timestamp) -> Self {
        let bearer = info.bearer.as_ref();
        let longest = Duration::try_from(info.ceiling.duration_since(info.issued));
        Self {
            accessor: &info.accessor,
            bound_cidrs: bearer
                .map(|bearer| bearer.networks.iter().map(ToString::to_string).collect()),
            creation_time: info.issued.as_second(),
            creation_ttl: seconds(info.creation_ttl),
            display_name: format!("cert-{}", info.identity),
            entity_id: "",
            expire_time: info.expires,
            explicit_max_ttl: seconds(longest.unwrap_or_default()),
            id: token,
            issue_time: info.issued,
            meta: metadata(info),
            num_uses: 0,
            orphan: true,
            path: "auth/cert/login",
            policies: POLICIES,
            renewable: info.renewable(),
            ttl: seconds(info.ttl(now)),
            r#type: "service",
        }
    }
}

/// `GET /v1/auth/token/lookup-self`.
pub(in crate::vault) async fn lookup_self(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    if !matches!(call.verb, Verb::Get | Verb::Write) {
        return Err(VaultError::Method);
    }
    let info = state.access.lookup_self(&call.context, &call.caller).await?;
    let view = TokenView::of(token_of(&call)?, &info, state.clock.now());
    Ok(envelope::data(call.head(), "token", view))
}

/// `POST /v1/auth/token/renew-self`, with an `increment` if the client wants a certain time.
pub(in crate::vault) async fn renew_self(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let increment = call.fields()?.span("increment")?;
    let info = state.access.renew_self(&call.context, &call.caller, increment).await?;
    let session = Session::of(token_of(&call)?, &info, state.clock.now());
    Ok(envelope::auth(call.head(), session))
}

/// `POST /v1/auth/token/revoke-self`.
pub(in crate::vault) async fn revoke_self(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    state.access.revoke_self(&call.context, &call.caller).await?;
    Ok(envelope::no_content())
}

fn token_of(call: &Call) -> Result<&str, VaultError> {
    let token = call.token.as_ref().ok_or(AccessError::TokenNeeded)?;
    Ok(token.as_str())
}
