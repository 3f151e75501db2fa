//! How many requests of an account and a client may be refused in a while: each of them is decided on, and a
//! client that is refused each time asks again each time.
//!
//! Nobody locks others out by that. Requests for new accounts, which need no account, have seats of their own: of
//! the certificate that comes with them, or of the address. And the seats of an address are asked about an account's
//! order only if the account has been refused something itself, so that a neighbour's refusals do not count against
//! it; each account has at most one refusal more by that.

use chancery_identity::{RequestContext, client_network};
use chancery_store::{Commit, CommitError};

use crate::Acme;
use crate::error::Error;
use crate::id::{AccountId, OrderId};
use crate::quota::{AccountQuota, FreeSeat, Quota};
use crate::records;

/// How often a refusal is counted anew because others were counted meanwhile.
const TRIES: usize = 20;

/// Who asks, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asking {
    /// An account, for an order.
    Order(AccountId),
    /// A client, for a new account.
    NewAccount,
}

/// Seats for one more refusal.
pub(crate) struct Refusals {
    asking: Asking,
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
        asking: Asking,
    ) -> Result<Refusals, Error> {
        let seats = match asking {
            Asking::Order(account) => self.seats_for_order(context, account).await?,
            Asking::NewAccount => self.seat_for_account(context).await?.into_iter().collect(),
        };
        Ok(Refusals { asking, seats })
    }

    async fn seats_for_order(
        &self,
        context: &RequestContext,
        account: AccountId,
    ) -> Result<Vec<FreeSeat>, Error> {
        let (limits, now) = (&self.config.limits, self.clock.now());
        let (store, lottery) = (self.store.as_ref(), OrderId::new(now).lottery());
        let of_account = Quota {
            prefix: records::refused_of(&context.tenant, account),
            most: limits.refused_orders_per_account,
            name: "refused-orders-per-account",
            message: "too many orders of the account were refused lately: mend or stop what asks for them, and \
                      try again later",
        };
        let of_address = context.address.map(client_network).map(|client| Quota {
            prefix: records::refused_from(&context.tenant, client),
            most: limits.refused_orders_per_address,
            name: "refused-orders-per-address",
            message: "too many orders of your network were refused lately, and some of this account's: mend or \
                      stop what asks for them, and try again later",
        });
        let quota = AccountQuota { of_account, of_address };
        quota.find(store, lottery, now).await
    }

    async fn seat_for_account(&self, context: &RequestContext) -> Result<Option<FreeSeat>, Error> {
        let (limits, now) = (&self.config.limits, self.clock.now());
        let tenant = &context.tenant;
        let prefix = match (&context.evidence, context.address) {
            (Some(evidence), _) => records::refused_accounts_by(tenant, evidence.fingerprint()),
            (None, Some(address)) => {
                records::refused_accounts_from(tenant, client_network(address))
            }
            (None, None) => return Ok(None),
        };
        let quota = Quota {
            prefix,
            most: limits.refused_orders_per_address,
            name: "refused-accounts",
            message: "too many requests for new accounts from your network, or with your certificate, were refused \
                      lately: mend or stop what sends them, and try again later",
        };
        quota.find(self.store.as_ref(), OrderId::new(now).lottery(), now).await
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
            refusals = match self.may_be_refused(context, refusals.asking).await {
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
        | Error::Denied(_)
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
