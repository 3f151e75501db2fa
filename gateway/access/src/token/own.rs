//! Looks up, renews and revokes a caller's own token.

use std::time::Duration;

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError};
use jiff::Timestamp;

use super::{HeldToken, TokenInfo, load, put, without_entries};
use crate::login::{LOGIN, login_resource};
use crate::{Access, AccessError, Caller, Unauthenticated};

/// How often a renewal starts again because the record changed under it.
const ATTEMPTS: usize = 8;

impl Access {
    /// What is known of the caller's own token. Needs no policy: it tells the holder what it was told
    /// at login.
    ///
    /// # Errors
    /// [`AccessError::TokenNeeded`] if the caller came with the certificate alone.
    pub async fn lookup_self(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<TokenInfo, AccessError> {
        let held = self.own_token(context, caller).await?;
        let event = event(context, caller, "auth.token.lookup", &held.info);
        self.gate.record(event.succeeded()).await?;
        Ok(held.info.clone())
    }

    /// Makes the caller's own token live on: for `increment`, or as long as a new one would, and in no
    /// case beyond its ceiling, its certificate, or what the policies now say of a login. Asks them as
    /// for a login.
    ///
    /// # Errors
    /// [`AccessError::TokenNeeded`], [`AccessError::Gate`], [`AccessError::NotRenewable`] if it lives as long
    /// as it may already, and [`AccessError::TokenAtItsEnd`] if nothing is left of what the policies now allow.
    #[tracing::instrument(name = "access.renew", skip_all)]
    pub async fn renew_self(
        &self,
        context: &RequestContext,
        caller: &Caller,
        increment: Option<Duration>,
    ) -> Result<TokenInfo, AccessError> {
        let held = self.own_token(context, caller).await?;
        let event = event(context, caller, "auth.token.renew", &held.info);
        // A client that was told so does not ask; one that asks all the same gets Vault's answer.
        if !held.info.renewable() {
            self.gate.record(event.denied("not-renewable")).await?;
            return Err(AccessError::NotRenewable);
        }
        let attributes = vec![("renewal".to_owned(), "true".to_owned())];
        let resource = login_resource(&held.info.role, caller.identity());
        let session = self.session_of(context, caller);
        let asked = self.gate.ask_for(&session, event, LOGIN, &[&resource], attributes).await;
        let authorized = asked?;
        let role = self.bearer_role(&caller.identity().tenant, &held.info.role);
        let role = role.filter(|_| !held.info.is_bound());
        let wish = Wish {
            increment,
            usual: role.as_ref().map_or(self.limits.default_ttl, |role| role.ttl),
            most: role.map(|role| role.ttl),
            policy: authorized.max_ttl(),
            certificate: caller.not_after(),
        };
        match self.extend(held, &wish).await {
            Ok(info) => {
                authorized.detail("expires", info.expires.to_string()).succeeded().await?;
                Ok(info)
            }
            Err(error) => {
                authorized.failed("not-renewed").await?;
                Err(error)
            }
        }
    }

    async fn extend(&self, held: &HeldToken, wish: &Wish) -> Result<TokenInfo, AccessError> {
        let mut version = held.version;
        let mut info = held.info.clone();
        for _ in 0..ATTEMPTS {
            let expires = self.extended(&info, wish)?;
            let renewed = TokenInfo { expires, ..info.clone() };
            let commit = Commit::new().check_version(held.key.clone(), version);
            let commit = without_entries(commit, &held.key, &info)?;
            match self.store.commit(put(commit, &held.key, &renewed)?).await {
                Ok(_) => return Ok(renewed),
                Err(CommitError::Conflict { .. }) => {
                    // Renewed by another request, or revoked or swept away.
                    let found = load(&*self.store, held.key.clone()).await?;
                    let found = found.ok_or(Unauthenticated::UnknownToken)?;
                    (version, info) = (found.version, found.info);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let key = held.key.clone();
        Err(CommitError::Conflict { key }.into())
    }

    /// The new expiry: always one, always within the ceiling.
    fn extended(&self, info: &TokenInfo, wish: &Wish) -> Result<Timestamp, AccessError> {
        let now = self.clock.now();
        let after = |from: Timestamp, by: Duration| from.checked_add(by).unwrap_or(Timestamp::MAX);
        let increment = wish.increment.filter(|by| !by.is_zero()).unwrap_or(wish.usual);
        let increment = wish.most.map_or(increment, |most| increment.min(most));
        let certificate = wish.certificate.unwrap_or(Timestamp::MAX);
        let mut expires = after(now, increment).min(info.ceiling).min(certificate);
        if let Some(limit) = wish.policy {
            expires = expires.min(after(info.issued, limit));
        }
        if expires <= now { Err(AccessError::TokenAtItsEnd) } else { Ok(expires) }
    }

    /// Ends the caller's own token. Needs no policy: giving something up is always allowed.
    ///
    /// # Errors
    /// [`AccessError::TokenNeeded`] if the caller came with the certificate alone.
    pub async fn revoke_self(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<(), AccessError> {
        let held = self.own_token(context, caller).await?;
        let event = event(context, caller, "auth.token.revoke", &held.info);
        match self.end(std::slice::from_ref(held)).await {
            Ok(()) => Ok(self.gate.record(event.succeeded()).await?),
            Err(error) => {
                self.gate.record(event.failed("not-revoked")).await?;
                Err(error)
            }
        }
    }
}

impl Access {
    /// The caller's token, if it and the certificate count at this moment.
    async fn own_token<'a>(
        &self,
        context: &RequestContext,
        caller: &'a Caller,
    ) -> Result<&'a HeldToken, AccessError> {
        let held = caller.held_token().ok_or(AccessError::TokenNeeded)?;
        match self.still_authenticated(context, caller) {
            Ok(()) => Ok(held),
            Err(reason) => Err(self.refuse(context, reason).await?),
        }
    }
}

/// What bounds a renewal besides the token itself.
struct Wish {
    increment: Option<Duration>,
    /// For which time if the client wants none in particular.
    usual: Duration,
    /// For which time at most.
    most: Option<Duration>,
    policy: Option<Duration>,
    certificate: Option<Timestamp>,
}

fn event(context: &RequestContext, caller: &Caller, operation: &str, token: &TokenInfo) -> Event {
    caller.event(context, operation, login_resource(&token.role, &token.identity))
}
