//! Sessions of others: what administrators see of the tokens of their tenant, and how they end them. A
//! token that has ended is worth nothing from the next request on; the identity's certificate still is,
//! until it is revoked or policies say otherwise.

use std::collections::BTreeMap;

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Commit, Key, lenient};

use crate::login::login_resource;
use crate::token::{self, HeldToken, TokenInfo};
use crate::{Access, AccessError, Caller, Refusal};

/// How many sessions a list has at most.
pub const MAX_SESSIONS: usize = 1000;

/// How many records are read, or removed, at once.
const PAGE: usize = 256;

/// The operations, as policies name them. The resource is `ROLE/IDENTITY` of the session, but of a list.
const LIST: &str = "session.list";
const READ: &str = "session.read";
const REVOKE: &str = "session.revoke";

/// Some of the sessions of a tenant, those that began first before the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// What is known of each.
    pub found: Vec<TokenInfo>,
    /// Whether there may be more.
    pub more: bool,
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
        let event = self.may(context, caller, LIST, identity.unwrap_or_default()).await?;
        let limit = limit.min(MAX_SESSIONS);
        let found = self.find_sessions(&context.tenant, identity, after, limit).await;
        let event = match &found {
            Ok(sessions) => event.detail("count", sessions.found.len() as u64).succeeded(),
            Err(error) => event.failed(code(error)),
        };
        self.audit.record(event).await?;
        found
    }

    async fn find_sessions(
        &self,
        tenant: &TenantId,
        identity: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Sessions, AccessError> {
        let mut after = match after {
            None => None,
            // Keys go on where the accessor leaves off.
            Some(accessor) if token::leads_to_record(accessor) => {
                Some(Key::new(format!("{}{accessor}~", token::keys(tenant)))?)
            }
            Some(_) => return Err(AccessError::NotFound),
        };
        let mut found = vec![];
        loop {
            let (page, last) = self.page(tenant, after.as_ref()).await?;
            for held in page {
                let wanted = identity.is_none_or(|name| held.info.identity.to_string() == name);
                if wanted && held.info.expires > self.clock.now() {
                    if found.len() == limit {
                        return Ok(Sessions { found, more: true });
                    }
                    found.push(held.info);
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(Sessions { found, more: false }),
            }
        }
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
        let event = self.may_with_session(context, caller, READ, held.as_ref(), accessor).await?;
        let found = held.map(|held| held.info).ok_or(AccessError::NotFound);
        let event = if found.is_ok() { event.succeeded() } else { event.failed("not-found") };
        self.audit.record(event).await?;
        found
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
        let event = self.may_with_session(context, caller, REVOKE, held.as_ref(), accessor).await?;
        let ended = match held {
            Some(held) => self.end(vec![held]).await.map(|mut ended| ended.pop()),
            None => Ok(None),
        };
        let ended = ended.and_then(|ended| ended.ok_or(AccessError::NotFound));
        let event = match &ended {
            Ok(_) => event.succeeded(),
            Err(error) => event.failed(code(error)),
        };
        self.audit.record(event).await?;
        ended
    }

    /// Ends every session of an identity, `session.revoke` about each of its roles, and tells how many there
    /// were. Those of roles for which the policies do not allow it stay; it is an error if they allow none.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn revoke_sessions_of(
        &self,
        context: &RequestContext,
        caller: &Caller,
        identity: &str,
    ) -> Result<usize, AccessError> {
        let mut by_role: BTreeMap<String, Vec<HeldToken>> = BTreeMap::new();
        let mut after = None;
        loop {
            let (page, last) = self.page(&context.tenant, after.as_ref()).await?;
            let theirs = page.into_iter().filter(|held| held.info.identity.to_string() == identity);
            theirs.for_each(|held| by_role.entry(held.info.role.clone()).or_default().push(held));
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        if by_role.is_empty() {
            // Asked in any case: whether somebody is logged in is not to be told by a refusal.
            by_role.insert(String::new(), vec![]);
        }
        let (mut ended, mut refused) = (0, None);
        for (role, held) in by_role {
            let resource = format!("{role}/{identity}");
            let asked = self.authorize(context, caller, REVOKE, &resource, vec![]).await;
            let event = caller.event(context, REVOKE, resource);
            match asked {
                Ok(grant) => {
                    let event = event.decisions(grant.decisions);
                    let accessors: Vec<_> =
                        held.iter().take(16).map(|held| held.info.accessor.clone()).collect();
                    let event =
                        event.detail("count", held.len() as u64).detail("accessors", accessors);
                    match self.end(held).await {
                        Ok(infos) => {
                            ended += infos.len();
                            self.audit.record(event.succeeded()).await?;
                        }
                        Err(error) => {
                            self.audit.record(event.failed(code(&error))).await?;
                            return Err(error);
                        }
                    }
                }
                Err(refusal) => {
                    self.audit.record(refusal.recorded_in(event)).await?;
                    refused = Some(refusal.about_something_hidden(REVOKE));
                }
            }
        }
        match refused {
            Some(refusal) if ended == 0 => Err(refusal.into()),
            _ => Ok(ended),
        }
    }

    /// Asks about a session, or about none: which identity it is of is not told to whom the policies refuse.
    async fn may_with_session(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &'static str,
        held: Option<&HeldToken>,
        accessor: &str,
    ) -> Result<Event, AccessError> {
        let resource = held
            .map(|held| login_resource(&held.info.role, &held.info.identity))
            .unwrap_or_default();
        let asked = self.authorize(context, caller, operation, &resource, vec![]).await;
        // What a caller made up does not fill the log.
        let named: String = accessor.chars().take(64).collect();
        let event = caller.event(context, operation, resource).detail("session", named);
        match asked {
            Ok(grant) => Ok(event.decisions(grant.decisions)),
            Err(refusal) => {
                self.audit.record(refusal.recorded_in(event)).await?;
                Err(Refusal::about_something_hidden(refusal, operation).into())
            }
        }
    }

    async fn with_accessor(
        &self,
        tenant: &TenantId,
        accessor: &str,
    ) -> Result<Option<HeldToken>, AccessError> {
        if token::leads_to_record(accessor) {
            let prefix = format!("{}{accessor}", token::keys(tenant));
            let found = self.store.scan(prefix.as_bytes(), None, 1).await?;
            return found.into_iter().next().map(token::of_record).transpose();
        }
        // Of a token that an earlier release has given, for as long as there are any.
        let mut after = None;
        loop {
            let (page, last) = self.page(tenant, after.as_ref()).await?;
            if let Some(held) = page.into_iter().find(|held| held.info.accessor == accessor) {
                return Ok(Some(held));
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(None),
            }
        }
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

    async fn end(&self, held: Vec<HeldToken>) -> Result<Vec<TokenInfo>, AccessError> {
        for part in held.chunks(PAGE) {
            let commit = part.iter().try_fold(Commit::new(), token::end)?;
            self.store.commit(commit).await?;
        }
        Ok(held.into_iter().map(|held| held.info).collect())
    }
}

fn code(error: &AccessError) -> &'static str {
    if matches!(error, AccessError::NotFound) { "not-found" } else { "store" }
}
