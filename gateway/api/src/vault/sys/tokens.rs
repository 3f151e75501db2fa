//! `/v1/sys/tokens`: the HSM's tokens. Vault has no such resource; it follows its manners.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::TokenHealth;
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::{KeyInToken, VaultState};
use crate::vault::{envelope, path};

const SYSTEM: &str = "system";

/// `/v1/sys/tokens`: how they are.
pub(in crate::vault) async fn list(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct View {
        tokens: Vec<TokenHealth>,
    }
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let list = |grant| Some((state.tokens.list)(grant));
    let tokens =
        state.access.administer(&call.context, &call.caller, "token.list", "", list).await?;
    Ok(envelope::data(call.head(), SYSTEM, View { tokens }))
}

/// `/v1/sys/keys`: which keys are in them.
pub(in crate::vault) async fn keys(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct View {
        keys: Vec<KeyInToken>,
    }
    if !matches!(call.verb, Verb::List | Verb::Get) {
        return Err(VaultError::Method);
    }
    let asked = |grant| Some((state.tokens.keys)(grant));
    let asked = state.access.administer(&call.context, &call.caller, "key.list", "", asked).await?;
    let keys = asked.await.map_err(|error| {
        tracing::error!(error, "the keys of a token cannot be read");
        VaultError::Internal("a token could not be asked")
    })?;
    Ok(envelope::data(call.head(), SYSTEM, View { keys }))
}

/// `/v1/sys/tokens/TOKEN/drain`: nothing new is asked of the token.
pub(in crate::vault) async fn drain(
    state: State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    set(state, call, "token.drain", true).await
}

/// `/v1/sys/tokens/TOKEN/resume`: it is used again.
pub(in crate::vault) async fn resume(
    state: State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    set(state, call, "token.resume", false).await
}

async fn set(
    State(state): State<VaultState>,
    call: Call,
    operation: &'static str,
    drained: bool,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let token = path::decode(call.raw_path().split('/').nth(4).unwrap_or_default())?;
    let work = |grant| (state.tokens.drain)(grant, &token, drained).then_some(());
    state.access.administer(&call.context, &call.caller, operation, &token, work).await?;
    Ok(envelope::no_content())
}
