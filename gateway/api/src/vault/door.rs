//! What a mount has for anybody, without a certificate.

use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use chancery_secrets::{MountKind, MountName};
use http::Method;

use super::call::{Call, check_condition};
use super::error::VaultError;
use super::state::VaultState;

/// Where a request without a certificate came to.
pub(super) enum Door {
    /// The mount that it is about, which may be read.
    Open(MountName, Request),
    /// There is no such thing, and this is the answer.
    Wall(Response),
}

impl Door {
    /// Of a mount of this kind, if there is what is asked for.
    ///
    /// # Errors
    /// The gateway does not serve, or it is not to be read. What is not there looks like everything else that is not
    /// there.
    pub(super) async fn of(
        state: VaultState,
        request: Request,
        kind: MountKind,
        is_there: bool,
    ) -> Result<Self, VaultError> {
        let mount = request.uri().path().split('/').nth(2).and_then(|name| name.parse().ok());
        let mount = mount.filter(|mount| state.secrets.kind_of(mount) == Some(kind));
        let Some(mount) = mount.filter(|_| is_there) else {
            let call = Call::from_request(request, &state).await?;
            return super::unknown(State(state), call).await.map(Self::Wall);
        };
        check_condition(&state)?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(VaultError::Method);
        }
        Ok(Self::Open(mount, request))
    }
}
