//! Changes of an order's authorizations. All of them are in one record, so answers to many challenges
//! at once would make each other's commits fail. So changes of one order are combined, and those that
//! arrive during a commit go into the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery_identity::TenantId;
use chancery_store::{Commit, CommitError};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::Order;
use super::changes::{Change, Changed, Place, Wish};
use crate::Acme;
use crate::authorization::{Authorization, Own, Progress, Proof};
use crate::error::{Error, InternalError};
use crate::id::AuthorizationId;
use crate::records::{self, Stored};

/// How often a change is tried when another gateway's change comes first.
const TRIES: usize = 100;

/// The worker of an order. When it is dropped, the order has none.
struct Worker {
    acme: Arc<Acme>,
    place: Place,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Something is left only if the work panicked: the closed channel tells the waiters.
        self.acme.changes.with(|all| all.remove(&self.place));
    }
}

impl Acme {
    /// Changes an authorization and, in the same commit, its order: nobody sees the last authorization
    /// valid while the order is still pending.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is gone or has no such challenge, [`Error::Malformed`] if the change
    /// makes no sense, [`Error::Internal`].
    pub(crate) async fn change(
        self: &Arc<Self>,
        tenant: &TenantId,
        authorization: &Authorization,
        change: Change,
    ) -> Result<Changed, Error> {
        let facts = authorization.facts();
        let place = (tenant.clone(), facts.order);
        let (reply, answer) = oneshot::channel();
        if self.changes.add(&place, Wish { id: facts.id, change, reply }) {
            let worker = Worker { acme: Arc::clone(self), place };
            let work = async move {
                let Worker { acme, place } = &worker;
                while let Some(wishes) = acme.changes.take(place) {
                    acme.carry_out(place, wishes).await;
                }
            };
            // In a task of its own, since others depend on it.
            tokio::spawn(work.in_current_span());
        }
        let lost = |_| InternalError::Inconsistent(format!("order {}", facts.order));
        answer.await.map_err(lost)?
    }

    async fn carry_out(&self, place: &Place, wishes: Vec<Wish>) {
        for _ in 0..TRIES {
            match self.try_to_carry_out(place, &wishes).await {
                Ok(outcomes) => {
                    for (wish, outcome) in wishes.into_iter().zip(outcomes) {
                        // The caller may have gone meanwhile.
                        let _ = wish.reply.send(outcome);
                    }
                    return;
                }
                Err(Error::Internal(InternalError::Commit(CommitError::Conflict { .. }))) => {}
                Err(error) => return refuse_all(wishes, &error),
            }
        }
        let busy = "an order is changed all the time by others".to_owned();
        let busy = InternalError::Commit(CommitError::Unavailable(busy));
        refuse_all(wishes, &busy.into());
    }

    async fn try_to_carry_out(
        &self,
        (tenant, id): &Place,
        wishes: &[Wish],
    ) -> Result<Vec<Result<Changed, Error>>, Error> {
        let now = self.clock.now();
        let key = records::order(tenant, *id)?;
        let Some(stored) = records::load::<Order>(self.store.as_ref(), key).await? else {
            return Ok(wishes.iter().map(|_| Err(Error::NotFound("authorization"))).collect());
        };
        let Stored { key, value, version } = stored;
        let mut work = Work {
            tenant,
            was_open: value.is_open(),
            order: value.at(now),
            seen: BTreeMap::new(),
            commit: Commit::new().check_version(key.clone(), version),
            began: false,
            changed: false,
        };
        let mut outcomes = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let Some(place) = work.order.facts().place_of(wish.id) else {
                outcomes.push(Err(Error::NotFound("authorization")));
                continue;
            };
            let before = work.authorization(self, wish.id, place).await?.at(now);
            outcomes.push(match self.next(before.clone(), wish.change.clone(), now) {
                Ok(Some(after)) => {
                    work.put(place, &after)?;
                    Ok(Changed { authorization: after, is_new: true })
                }
                Ok(None) => Ok(Changed { authorization: before, is_new: false }),
                Err(error) => Err(error),
            });
        }
        if work.changed {
            self.store.commit(work.finish(self, key, now)?).await?;
        }
        Ok(outcomes)
    }

    /// What a change makes of an authorization; none if it stays as it is.
    fn next(
        &self,
        before: Authorization,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<Authorization>, Error> {
        use Authorization::{Deactivated, Invalid, Pending, Valid, Validating};
        Ok(match (before, change) {
            (before, Change::Respond(kind))
                if !before.offers().iter().any(|offer| offer.kind == kind) =>
            {
                return Err(Error::NotFound("challenge"));
            }
            (Pending(one), Change::Respond(kind)) => Some(Validating(one.respond(kind))),
            (Deactivated(_), Change::Respond(_)) => {
                return Err(Error::Malformed("the authorization was deactivated".to_owned()));
            }
            (Validating(one), Change::Settle(Ok(()))) => {
                Some(Valid(one.proved(now, now + self.config.authorization_lifetime)))
            }
            (Validating(one), Change::Settle(Err(failure))) => Some(Invalid(one.refuted(failure))),
            (Pending(one), Change::GiveUp) => Some(Deactivated(one.deactivate())),
            (Valid(one), Change::GiveUp) => Some(Deactivated(one.deactivate())),
            (Validating(_) | Invalid(_), Change::GiveUp) => {
                return Err(Error::Malformed(
                    "only a pending or valid authorization can be deactivated".to_owned(),
                ));
            }
            // Of several responses the first one counts; a settled authorization stays settled.
            (Validating(_) | Valid(_) | Invalid(_), Change::Respond(_))
            | (Pending(_) | Valid(_) | Invalid(_) | Deactivated(_), Change::Settle(_))
            | (Deactivated(_), Change::GiveUp) => None,
        })
    }
}

/// Changes of one order that go into one commit.
struct Work<'a> {
    tenant: &'a TenantId,
    /// Whether the record says that the order waits for the client.
    was_open: bool,
    order: Order,
    /// The authorizations that were read, as they are now.
    seen: BTreeMap<u16, Authorization>,
    commit: Commit,
    /// Whether the validation of a challenge begins.
    began: bool,
    changed: bool,
}

impl Work<'_> {
    async fn authorization(
        &mut self,
        acme: &Acme,
        id: AuthorizationId,
        place: u16,
    ) -> Result<Authorization, Error> {
        if let Some(seen) = self.seen.get(&place) {
            return Ok(seen.clone());
        }
        let progress = self.order.progress().get(usize::from(place)).cloned().unwrap_or_default();
        let has_own =
            matches!(id, AuthorizationId::Own(_)) || matches!(progress, Progress::Apart(_));
        let own: Option<Own> = if has_own { acme.own_record(self.tenant, id).await? } else { None };
        Authorization::of(self.order.facts(), place, &progress, own)
    }

    fn put(&mut self, place: u16, after: &Authorization) -> Result<(), Error> {
        let mut commit = std::mem::take(&mut self.commit);
        let facts = after.facts();
        let own = records::authorization(self.tenant, facts.id)?;
        if let Some(record) = after.own_record()? {
            commit = commit.put(own, record);
        } else if let Some(Progress::Apart(_)) = self.order.progress().get(usize::from(place)) {
            // From now on all of it is in the order.
            commit = commit.delete(own);
        }
        let (tenant, account, name) = (self.tenant, facts.account, &facts.identifier);
        match after {
            Authorization::Valid(one) => {
                commit = Proof { until: one.until() }.put(commit, tenant, account, name)?;
            }
            Authorization::Deactivated(_) => {
                commit = Proof::delete(commit, tenant, account, name)?;
            }
            Authorization::Validating(_) => self.began = true,
            Authorization::Pending(_) | Authorization::Invalid(_) => {}
        }
        if matches!(facts.id, AuthorizationId::Own(_)) {
            commit = commit.delete(records::unfinished_authorization(self.tenant, facts.id)?);
        }
        self.commit = commit;
        self.order = self.order.clone().authorized(place, after);
        self.seen.insert(place, after.clone());
        self.changed = true;
        Ok(())
    }

    /// Builds the whole commit.
    fn finish(
        self,
        acme: &Acme,
        key: chancery_store::Key,
        now: Timestamp,
    ) -> Result<Commit, Error> {
        let Self { tenant, was_open, order, mut commit, began, .. } = self;
        let unfinished = records::unfinished_challenges_of(tenant, order.facts().id)?;
        if began {
            commit = commit.put(unfinished, acme.unfinished()?);
        } else if !order.is_validating() {
            commit = commit.delete(unfinished);
        }
        if was_open && !order.is_open() {
            commit = Acme::keep_seats(commit, order.facts(), now)?;
        }
        Ok(commit.put(key, records::encode(&order)?))
    }
}

/// Tells everybody the same error.
fn refuse_all(wishes: Vec<Wish>, error: &Error) {
    for wish in wishes {
        let error = match error {
            Error::Internal(InternalError::Read(error)) => error.clone().into(),
            Error::Internal(InternalError::Commit(error)) => error.clone().into(),
            other => InternalError::Inconsistent(other.to_string()).into(),
        };
        let _ = wish.reply.send(Err(error));
    }
}
