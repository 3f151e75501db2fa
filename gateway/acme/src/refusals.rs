//! How many requests of an account and a client may be refused in a while: each of them is decided on and leaves a
//! line in the audit log, and whoever is refused for ever asks again for ever.

use chancery_identity::{RequestContext, client_network};
use chancery_store::{Commit, CommitError};

use crate::Acme;
use crate::error::Error;
use crate::id::{AccountId, OrderId};
use crate::quota::{FreeSeat, Quota};
use crate::records;

/// How often a refusal is counted anew because others were counted meanwhile.
const TRIES: usize = 20;

/// Seats for one more refusal.
pub(crate) struct Refusals {
    account: Option<AccountId>,
    seats: Vec<FreeSeat>,
}

impl Acme {
    /// Whether one more request for an account or an order may be refused: to be asked before it is decided on.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub(crate) async fn may_be_refused(
        &self,
        context: &RequestContext,
        account: Option<AccountId>,
    ) -> Result<Refusals, Error> {
        let (limits, now) = (&self.config.limits, self.clock.now());
        let of_account = account.map(|account| Quota {
            prefix: records::refused_of(&context.tenant, account),
            most: limits.refused_orders_per_account,
            name: "refused-orders-per-account",
            message: "too many orders of the account were refused lately: mend or stop what asks for them, and \
                      try again later",
        });
        let of_client = context.address.map(client_network).map(|client| Quota {
            prefix: records::refused_from(&context.tenant, client),
            most: limits.refused_orders_per_client,
            name: "refused-orders-per-client",
            message: "too many requests of your network were refused lately: mend or stop what sends them, and \
                      try again later",
        });
        let lottery = OrderId::new(now).lottery();
        let mut seats = Vec::new();
        for quota in of_account.into_iter().chain(of_client) {
            seats.extend(quota.find(self.store.as_ref(), lottery, now).await?);
        }
        Ok(Refusals { account, seats })
    }

    /// Counts the request if it was refused; gives back its error, or another one if it was one too many.
    pub(crate) async fn count_refusal(
        &self,
        context: &RequestContext,
        mut refusals: Refusals,
        error: Error,
    ) -> Error {
        if !is_refusal(&error) {
            return error;
        }
        let until = self.clock.now() + self.config.limits.refused_window;
        for _ in 0..TRIES {
            let mut seats = refusals.seats.iter();
            let commit =
                match seats.try_fold(Commit::new(), |commit, seat| seat.take(commit, until)) {
                    Ok(_) if refusals.seats.is_empty() => return error,
                    Ok(commit) => commit,
                    Err(failed) => return failed,
                };
            match self.store.commit(commit).await {
                Ok(_) => return error,
                Err(CommitError::Conflict { .. }) => {}
                Err(failed) => return failed.into(),
            }
            refusals = match self.may_be_refused(context, refusals.account).await {
                Ok(refusals) => refusals,
                Err(limited) => return limited,
            };
        }
        Error::Overloaded
    }
}

/// Whether the request is at fault, and not the gateway or the moment.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Malformed(_)
        | Error::TermsNotAgreed { .. }
        | Error::UnsupportedContact(_)
        | Error::InvalidContact { .. }
        | Error::Identifiers(_)
        | Error::InvalidProfile { .. }
        | Error::Denied { .. }
        | Error::DeniedIdentifiers { .. }
        | Error::Unauthorized(_) => true,
        Error::Jws(_)
        | Error::BadNonce(_)
        | Error::WrongUrl { .. }
        | Error::NoAccount
        | Error::AccountDeactivated
        | Error::Certificate(_)
        | Error::NotFound(_)
        | Error::OrderNotReady { .. }
        | Error::BadCsr(_)
        | Error::KeyInUse { .. }
        | Error::AlreadyRevoked
        | Error::BadRevocationReason(_)
        | Error::RateLimited { .. }
        | Error::Overloaded
        | Error::Internal(_) => false,
    }
}
