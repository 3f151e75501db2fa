//! Ending all sessions of an identity.

use std::collections::BTreeMap;

use chancery_gate::{Authorized, Refused};
use chancery_identity::RequestContext;
use chancery_store::{Key, lenient};

use crate::sessions::{REVOKE, code};
use crate::token::{self, HeldToken, OfIdentity, Pointer};
use crate::{Access, AccessError, Caller};

/// How many sessions are looked at, and ended, at once.
const PAGE: usize = 256;

/// How many are looked at by one request.
const MAX_PAGES: usize = 64;

/// After how many roles for which the policies refuse no further one is asked about: who may do nothing does
/// not make the gateway decide for long.
const MAX_REFUSED: usize = 16;

/// How many accessors a line of the audit log names.
const NAMED: usize = 16;

/// How many sessions were ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// So many.
    pub count: usize,
    /// Whether there may be more: ask again.
    pub more: bool,
}

/// What became of the sessions under one role, as far as the policies allowed it.
struct Allowed<'a> {
    authorized: Authorized<'a>,
    ended: usize,
    accessors: Vec<String>,
}

impl Access {
    /// Ends every session of an identity, `session.revoke` about each of its roles, and tells how many there
    /// were. Those of roles for which the policies do not allow it stay; it is an error if they allow none. What
    /// is read before the policies are asked is which roles there are, a page at a time.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub async fn revoke_sessions_of(
        &self,
        context: &RequestContext,
        caller: &Caller,
        identity: &str,
    ) -> Result<Ended, AccessError> {
        let of = OfIdentity::new(&context.tenant, identity);
        let mut roles = Roles { access: self, context, caller, identity, by_role: BTreeMap::new() };
        let done = self.end_all(&of, &mut roles).await;
        let refused = roles.conclude(&done).await?;
        let ended = done?;
        match refused {
            Some(refused) if ended.count == 0 => Err(refused.into()),
            _ => Ok(ended),
        }
    }

    async fn end_all(&self, of: &OfIdentity, roles: &mut Roles<'_>) -> Result<Ended, AccessError> {
        let (now, mut ended, mut last) = (self.clock.now(), Ended::default(), None);
        for _ in 0..MAX_PAGES {
            let page = of.live(&*self.store, now, last.as_ref(), PAGE).await?;
            if page.is_empty() {
                if last.is_none() {
                    // Asked in any case: whether somebody is logged in is not to be told by a refusal.
                    roles.ask("").await?;
                }
                return Ok(ended);
            }
            for pointer in &page {
                if roles.refused() < MAX_REFUSED {
                    roles.ask(&pointer.role).await?;
                }
            }
            let allowed: Vec<_> = page.iter().filter(|one| roles.allowed(&one.role)).collect();
            let held = self.load_all(roles.context, &allowed).await?;
            self.end(&held).await?;
            ended.count += held.len();
            for one in &held {
                roles.ended(one);
            }
            if roles.refused() >= MAX_REFUSED {
                break;
            }
            last = page.into_iter().next_back();
        }
        Ok(Ended { more: true, ..ended })
    }

    /// The tokens that these lead to, but those whose records are damaged: they are no good as tokens either.
    async fn load_all(
        &self,
        context: &RequestContext,
        pointers: &[&Pointer],
    ) -> Result<Vec<HeldToken>, AccessError> {
        let mut held = vec![];
        for pointer in pointers {
            let key = format!("{}{}", token::keys(&context.tenant), pointer.record_name);
            match token::load(&*self.store, Key::new(key)?).await {
                Ok(found) => held.extend(found),
                Err(AccessError::Read(error)) => drop(lenient::pass_over(error)?),
                Err(error @ AccessError::Record(_)) => {
                    tracing::warn!(%error, "passed over a token");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }
}

/// What the policies say of the roles under which the identity is logged in.
struct Roles<'a> {
    access: &'a Access,
    context: &'a RequestContext,
    caller: &'a Caller,
    identity: &'a str,
    by_role: BTreeMap<String, Result<Allowed<'a>, Refused>>,
}

impl Roles<'_> {
    /// Asks the policies, once, whether the sessions under this role may be ended. A refusal is recorded.
    async fn ask(&mut self, role: &str) -> Result<(), AccessError> {
        if self.by_role.contains_key(role) {
            return Ok(());
        }
        let Self { access, context, caller, identity, .. } = *self;
        let resource = format!("{role}/{identity}");
        let asked = match access.may(context, caller, REVOKE, &resource).await {
            Ok(authorized) => Ok(Allowed { authorized, ended: 0, accessors: vec![] }),
            Err(refused @ Refused::Unrecorded(_)) => return Err(refused.into()),
            Err(refused) => Err(refused),
        };
        self.by_role.insert(role.to_owned(), asked);
        Ok(())
    }

    fn allowed(&self, role: &str) -> bool {
        self.by_role.get(role).is_some_and(Result::is_ok)
    }

    fn refused(&self) -> usize {
        self.by_role.values().filter(|said| said.is_err()).count()
    }

    fn ended(&mut self, held: &HeldToken) {
        if let Some(Ok(allowed)) = self.by_role.get_mut(&held.info.role) {
            allowed.ended += 1;
            if allowed.accessors.len() < NAMED {
                allowed.accessors.push(held.info.accessor.clone());
            }
        }
    }

    /// Puts on record what was done under each role, and gives a refusal if there was one.
    async fn conclude(
        self,
        done: &Result<Ended, AccessError>,
    ) -> Result<Option<Refused>, AccessError> {
        let mut refused = None;
        for said in self.by_role.into_values() {
            match said {
                Ok(Allowed { authorized, ended, accessors }) => {
                    let authorized =
                        authorized.detail("count", ended as u64).detail("accessors", accessors);
                    match done {
                        Ok(_) => authorized.succeeded().await?,
                        Err(error) => authorized.failed(code(error)).await?,
                    }
                }
                Err(why) => refused = Some(why.about(REVOKE, "")),
            }
        }
        Ok(refused)
    }
}
