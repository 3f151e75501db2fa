//! How often accounts may be changed in an hour. Each change is a commit and a line in the audit log, and a client could
//! make changes without end. An account can always be deactivated: that happens once.

use std::time::Duration;

use chancery_identity::{RequestContext, client_network};
use chancery_store::Commit;
use jiff::Timestamp;

use crate::Acme;
use crate::error::Error;
use crate::id::{AccountId, OrderId};
use crate::quota::{AccountQuota, FreeSeat, Quota};
use crate::records;

/// The time over which changes are counted.
const WINDOW: Duration = Duration::from_hours(1);

/// Seats for one more change that were free.
pub(super) struct ChangeSeats(Vec<FreeSeat>);

impl ChangeSeats {
    /// Takes them in this commit.
    pub(super) fn take(&self, commit: Commit, now: Timestamp) -> Result<Commit, Error> {
        self.0.iter().try_fold(commit, |commit, seat| seat.take(commit, now + WINDOW))
    }
}

impl Acme {
    /// Free seats for one more change of the account.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(super) async fn find_change_seats(
        &self,
        context: &RequestContext,
        account: AccountId,
        now: Timestamp,
    ) -> Result<ChangeSeats, Error> {
        let (limits, store) = (&self.config.limits, self.store.as_ref());
        let lottery = OrderId::new(now).lottery();
        let of_account = Quota {
            prefix: records::changes_of(&context.tenant, account),
            most: limits.account_changes_per_account,
            name: "account-changes-per-account",
            message: "the account was changed as often as it may be in an hour: try again later",
        };
        let of_address = context.address.map(client_network).map(|client| Quota {
            prefix: records::changes_from(&context.tenant, client),
            most: limits.account_changes_per_address,
            name: "account-changes-per-address",
            message: "accounts were changed from your network as often as they may be in an hour, and this one \
                      was among them: try again later",
        });
        let quota = AccountQuota { of_account, of_address };
        Ok(ChangeSeats(quota.find(store, lottery, now).await?))
    }
}
