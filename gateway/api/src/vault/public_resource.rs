//! What a mount shows to anybody, without a certificate.

use axum::extract::{FromRequest as _, Request, State};
use axum::response::Response;
use chancery_secrets::{MountKind, MountName};
use http::Method;

use super::call::{Call, check_condition};
use super::error::VaultError;
use super::state::VaultState;

/// What a request without a certificate asks for.
pub(super) enum PublicResource<T> {
    /// It is there and may be read: what was asked for, at which mount.
    Found(T, MountName, Request),
    /// There is no such thing, and this is the answer.
    NotFound(Response),
}

impl<T> PublicResource<T> {
    /// Looks whether a mount of this kind is there; `asked` is none if the path asks for nothing public.
    ///
    /// # Errors
    /// The gateway does not serve, or the method does not read. What is not there looks like everything else that is
    /// not there.
    pub(super) async fn find(
        state: VaultState,
        request: Request,
        kind: MountKind,
        asked: Option<T>,
    ) -> Result<Self, VaultError> {
        let mount = request.uri().path().split('/').nth(2).and_then(|name| name.parse().ok());
        let mount = mount.filter(|mount| state.secrets.kind_of(mount) == Some(kind));
        let Some((mount, asked)) = mount.zip(asked) else {
            let call = Call::from_request(request, &state).await?;
            return super::unknown(State(state), call).await.map(Self::NotFound);
        };
        check_condition(&state)?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(VaultError::Method);
        }
        Ok(Self::Found(asked, mount, request))
    }
}
