//! Changes of orders' authorizations that wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chancery_identity::TenantId;
use tokio::sync::oneshot;

use crate::authorization::Authorization;
use crate::challenge::ChallengeType;
use crate::error::Error;
use crate::failure::Failure;
use crate::id::{AuthorizationId, OrderId};

/// A change of an authorization.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// The client is ready for this challenge.
    Respond(ChallengeType),
    /// The outcome of the challenge that was tried.
    Settle(Result<(), Failure>),
    /// The client gives it up.
    GiveUp,
}

/// The outcome of a change.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// The authorization as it is now.
    pub(crate) authorization: Authorization,
    /// Whether this change made it so; if not, the authorization was already over or begun.
    pub(crate) is_new: bool,
}

pub(super) type Reply = oneshot::Sender<Result<Changed, Error>>;
pub(super) type Place = (TenantId, OrderId);

/// Changes that wait, by order. Each order in it has a worker.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<HashMap<Place, Vec<Wish>>>);

#[derive(Debug)]
pub(super) struct Wish {
    pub(super) id: AuthorizationId,
    pub(super) change: Change,
    pub(super) reply: Reply,
}

impl Changes {
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut HashMap<Place, Vec<Wish>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the change to those that wait, and returns whether the order has no worker.
    pub(super) fn add(&self, place: &Place, wish: Wish) -> bool {
        self.with(|all| {
            if let Some(waiting) = all.get_mut(place) {
                waiting.push(wish);
                return false;
            }
            all.insert(place.clone(), vec![wish]);
            true
        })
    }

    /// Takes the changes that wait; if there are none, the worker gives up the order.
    pub(super) fn take(&self, place: &Place) -> Option<Vec<Wish>> {
        self.with(|all| {
            let waiting = std::mem::take(all.get_mut(place)?);
            if waiting.is_empty() {
                all.remove(place);
                return None;
            }
            Some(waiting)
        })
    }
}
