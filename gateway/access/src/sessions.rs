//! Sessions of others: what administrators see of the tokens of their tenant, and how they end them. A
//! token that has ended is worth nothing from the next request on; the identity's certificate still is,
//! until it is revoked or policies say otherwise.

use std::collections::BTreeSet;

use chancery_gate::{Authorized, Refused};
use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Key, lenient};

use crate::login::login_resource;
use crate::token::{self, HeldToken, OfIdentity, TokenInfo};
use crate::{Access, AccessError, Caller};

/// How many sessions a list has at most.
pub const MAX_SESSIONS: usize = 1000;

/// How many records are read at once.
const PAGE: usize = 256;

/// How many pages one request reads at most.
const MAX_PAGES: usize = 64;

/// The operations, as policies name them. The resource is `ROLE/IDENTITY` of the session, but of a list.
const LIST: &str = "session.list";
const READ: &str = "session.read";
pub(crate) const REVOKE: &str = "session.revoke";

/// Some of the sessions of a tenant, those that began first before the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// What is known of each.
    pub found: Vec<TokenInfo>,
    /// After which accessor to go on; none if there are no more.
    pub next: Option<String>,
}

impl Access {
    /// The sessions of the caller's tenant that have not ended, of one identity or of all, after the one
    /// with an accessor if there are more than [`MAX_SESSIONS`]: `session.list`.
    ///
    /// # Errors
    /// See [`AccessError`]; [`AccessError::NotFound`] if `after` is no accessor.
    pub async fn sessions(
        &self,
        context: &RequestContext,
        caller: &Caller,
        identity: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Sessions, AccessError> {
        let authorized = self.may(context, caller, LIST, identity.unwrap_or_default()).await?;
        let limit = limit.min(MAX_SESSIONS);
        let found = self.find_sessions(&context.tenant, identity, after, limit).await;
        match &found {
            Ok(sessions) => {
                authorized.detail("count", sessions.found.len() as u64).succeeded().await?;
            }
            Err(error) => authorized.failed(code(error)).await?,
        }
        found
    }

    async fn find_sessions(
        &self,
        tenant: &TenantId,
        identity: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Sessions, AccessError> {
        let after = match after {
            None => None,
            // Keys go on where the accessor leaves off.
            Some(accessor) if token::leads_to_record(accessor) => {
                Some(Key::new(format!("{}{accessor}~", token::keys(tenant)))?)
            }
            Some(_) => return Err(AccessError::NotFound),
        };
        match identity {
            None => self.sessions_of_all(tenant, after, limit).await,
            Some(identity) => self.sessions_of(tenant, identity, after.as_ref(), limit).await,
        }
    }

    async fn sessions_of_all(
        &self,
        tenant: &TenantId,
        mut after: Option<Key>,
        limit: usize,
    ) -> Result<Sessions, AccessError> {
        let mut found: Vec<TokenInfo> = vec![];
        for _ in 0..MAX_PAGES {
            let (page, last) = self.page(tenant, after.as_ref()).await?;
            for held in page {
                if self.is_over(&held.info, self.clock.now()) {
                    continue;
                }
                if found.len() == limit {
                    return Ok(Sessions { found, next: after.as_ref().and_then(accessor_in) });
                }
                after = Some(held.key);
                found.push(held.info);
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(Sessions { found, next: None }),
            }
        }
        // Many that have ended, and were not swept away yet.
        Ok(Sessions { found, next: after.as_ref().and_then(accessor_in) })
    }

    async fn sessions_of(
        &self,
        tenant: &TenantId,
        identity: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Sessions, AccessError> {
        let (of, now) = (OfIdentity::new(tenant, identity), self.clock.now());
        // The first of them, and one more to know whether there are more. They are found in another order.
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        let mut last = None;
        loop {
            let page = of.live(&*self.store, now, last.as_ref(), PAGE).await?;
            for pointer in &page {
                let key = Key::new(format!("{}{}", token::keys(tenant), pointer.record_name))?;
                if after.is_none_or(|after| key > *after) {
                    keys.insert(key);
                    if keys.len() > limit.saturating_add(1) {
                        keys.pop_last();
                    }
                }
            }
            last = page.into_iter().next_back();
            if last.is_none() {
                break;
            }
        }
        let more = keys.len() > limit;
        let keys: Vec<Key> = keys.into_iter().take(limit).collect();
        let next = keys.last().filter(|_| more).and_then(accessor_in);
        let mut found = vec![];
        for key in keys {
            match self.store.get(&key).await.map(|record| record.map(token::of_record)) {
                Ok(Some(Ok(held))) if !self.is_over(&held.info, now) => found.push(held.info),
                // It ended meanwhile.
                Ok(Some(Ok(_)) | None) => {}
                Ok(Some(Err(error))) => tracing::warn!(%error, "passed over a token"),
                Err(error) => drop(lenient::pass_over(error)?),
            }
        }
        Ok(Sessions { found, next })
    }

    /// What is known of the session with this accessor: `session.read`. Whether there is one is told only
    /// to those whom the policies allow it.
    ///
    /// # Errors
    /// See [`AccessError`]; [`AccessError::NotFound`] if there is none.
    pub async fn session(
        &self,
        context: &RequestContext,
        caller: &Caller,
        accessor: &str,
    ) -> Result<TokenInfo, AccessError> {
        let held = self.with_accessor(&context.tenant, accessor).await?;
        let authorized =
            self.may_with_session(context, caller, READ, held.as_ref(), accessor).await?;
        let Some(held) = held else {
            authorized.failed("not-found").await?;
            return Err(AccessError::NotFound);
        };
        authorized.succeeded().await?;
        Ok(held.info)
    }

    /// Ends the session with this accessor, `session.revoke`, and gives what was known of it.
    ///
    /// # Errors
    /// As for [`session`](Self::session).
    pub async fn revoke_session(
        &self,
        context: &RequestContext,
        caller: &Caller,
        accessor: &str,
    ) -> Result<TokenInfo, AccessError> {
        let held = self.with_accessor(&context.tenant, accessor).await?;
        let authorized =
            self.may_with_session(context, caller, REVOKE, held.as_ref(), accessor).await?;
        let ended = match held {
            Some(held) => self.end(std::slice::from_ref(&held)).await.map(|()| held.info),
            None => Err(AccessError::NotFound),
        };
        match &ended {
            Ok(_) => authorized.succeeded().await?,
            Err(error) => authorized.failed(code(error)).await?,
        }
        ended
    }

    /// Asks about a session, or about none: which identity it is of is not told to whom the policies refuse.
    async fn may_with_session(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        held: Option<&HeldToken>,
        accessor: &str,
    ) -> Result<Authorized<'_>, Refused> {
        let resource = held
            .map(|held| login_resource(&held.info.role, &held.info.identity))
            .unwrap_or_default();
        // What a caller made up does not fill the log.
        let named: String = accessor.chars().take(64).collect();
        let event = caller.event(context, operation, &*resource).detail("session", named);
        let session = self.session_of(context, caller);
        let asked = self.gate.ask_for(&session, event, operation, &[&resource], vec![]).await;
        asked.map_err(|refused| refused.about(operation, ""))
    }

    async fn with_accessor(
        &self,
        tenant: &TenantId,
        accessor: &str,
    ) -> Result<Option<HeldToken>, AccessError> {
        // No other is looked for: it would take reading all of them. Sessions of earlier releases, whose
        // accessors were random, are found by their identities.
        if !token::leads_to_record(accessor) {
            return Ok(None);
        }
        let prefix = format!("{}{accessor}", token::keys(tenant));
        let found = self.store.scan(prefix.as_bytes(), None, 1).await?;
        found.into_iter().next().map(token::of_record).transpose()
    }

    /// Some tokens of a tenant, but those whose records are damaged, and after which key the next ones are, if there are any.
    async fn page(
        &self,
        tenant: &TenantId,
        after: Option<&Key>,
    ) -> Result<(Vec<HeldToken>, Option<Key>), AccessError> {
        let found =
            lenient::scan(&*self.store, token::keys(tenant).as_bytes(), after, PAGE).await?;
        let mut held = vec![];
        for record in found.records {
            match token::of_record(record) {
                Ok(one) => held.push(one),
                // It is no good as a token either, and must not hide the others.
                Err(error) => tracing::warn!(%error, "passed over a token"),
            }
        }
        Ok((held, found.next))
    }
}

/// The accessor that leads to the record at this key.
fn accessor_in(key: &Key) -> Option<String> {
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    token::accessor_of(text.rsplit_once('/')?.1)
}

pub(crate) fn code(error: &AccessError) -> &'static str {
    if matches!(error, AccessError::NotFound) { "not-found" } else { "store" }
}
