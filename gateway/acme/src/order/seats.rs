//! How many orders an account and a client may have that are not finished.

use std::time::Duration;

use chancery_identity::{RequestContext, client_network};
use chancery_store::{Commit, Key};
use jiff::Timestamp;

use super::Facts;
use crate::Acme;
use crate::error::Error;
use crate::id::{AccountId, OrderId};
use crate::quota::{FreeSeat, Quota};
use crate::records;

/// For how long an order that failed counts as if it were pending: else somebody could have as many
/// stored as they like by failing each.
const FAILED: Duration = Duration::from_hours(1);

/// Seats for one order that were free.
pub(super) struct Seats(Vec<FreeSeat>);

impl Seats {
    /// Takes them in this commit, for an order with these facts, which get to know them.
    pub(super) fn take(&self, facts: &mut Facts, commit: Commit) -> Result<Commit, Error> {
        facts.seats = self.0.iter().map(FreeSeat::name).collect();
        self.0.iter().try_fold(commit, |commit, seat| seat.take(commit, facts.expires))
    }

    /// Whether this is the key of one of them.
    pub(super) fn are_at(&self, key: &Key) -> bool {
        self.0.iter().any(|seat| seat.is_at(key))
    }
}

impl Acme {
    /// Free seats for one more order of the account.
    pub(super) async fn find_seats(
        &self,
        context: &RequestContext,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Seats, Error> {
        let limits = &self.config.limits;
        let of_account = Quota {
            prefix: records::pending_of(&context.tenant, account),
            most: limits.pending_orders_per_account,
            name: "pending-orders-per-account",
            message: "the account has as many orders as it may that are not finished, or failed within \
                      the last hour: finish some, or try again later",
        };
        let of_client = context.address.map(client_network).map(|client| Quota {
            prefix: records::pending_from(&context.tenant, client),
            most: limits.pending_orders_per_address,
            name: "pending-orders-per-address",
            message: "your network has as many orders as it may that are not finished, or failed within \
                      the last hour: finish some, or try again later",
        });
        let lottery = OrderId::new(now).lottery();
        let mut seats = Vec::new();
        for quota in std::iter::once(of_account).chain(of_client) {
            seats.extend(quota.find(self.store.as_ref(), lottery, now).await?);
        }
        Ok(Seats(seats))
    }

    /// Keeps the seats of an order that failed for a while. Those of one that expired are free already, and
    /// perhaps another's.
    pub(super) fn keep_seats(
        commit: Commit,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Commit, Error> {
        if now >= facts.expires {
            return Ok(commit);
        }
        let until = facts.expires.min(now + FAILED);
        facts.seats.iter().try_fold(commit, |commit, seat| seat.keep(commit, until))
    }

    /// Gives the seats of an order back that is finished.
    pub(super) fn give_seats_back(
        commit: Commit,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Commit, Error> {
        if now >= facts.expires {
            return Ok(commit);
        }
        facts.seats.iter().try_fold(commit, |commit, seat| seat.give_back(commit))
    }
}
