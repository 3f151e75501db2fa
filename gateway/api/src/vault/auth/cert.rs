//! Logs in with the client certificate of the connection, as Vault's `cert` method does.

use axum::extract::State;
use axum::response::Response;
use chancery_access::Role;

use super::session::Session;
use crate::vault::call::{CallWithoutToken, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;

/// `POST /v1/auth/cert/login`: a token for the certificate of the connection. The body may name a role
/// (`name`).
pub(in crate::vault) async fn login(
    State(state): State<VaultState>,
    CallWithoutToken(call): CallWithoutToken,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let role = match call.fields()?.text("name", "the name of a role")? {
        Some(name) if !name.is_empty() => name
            .parse::<Role>()
            .map_err(|invalid| VaultError::BadRequest(invalid.to_string().into()))?,
        _ => Role::default_role(),
    };
    let login = state.access.login_with_certificate(&call.context, &role).await?;
    let session = Session::of(login.token.expose(), &login.info, state.clock.now());
    Ok(envelope::auth(call.head(), session))
}
