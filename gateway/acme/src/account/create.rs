//! Creates an account, or finds the one that a key already has (RFC 8555 §7.3).

use chancery_audit::Event;
use chancery_identity::{RequestContext, client_network};
use chancery_store::{Commit, CommitError};

use super::{Account, AccountStatus, contact};
use crate::Acme;
use crate::error::{Error, InternalError};
use crate::id::AccountId;
use crate::jws::AccountKey;
use crate::quota::{FreeSeat, Quota};
use crate::records::{self, Stored};
use crate::refusals::Asking;
use crate::service::Question;

const OPERATION: &str = "acme.account.create";
const RESOURCE: &str = "account";

/// How often an account is stored anew because others took its seat.
const TRIES: usize = 20;

/// A request for an account (RFC 8555 §7.3).
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// `mailto:` URLs.
    pub contact: Vec<String>,
    /// Whether the client agrees to the terms of service.
    pub terms_agreed: bool,
    /// Only find the account of this key; never make one (RFC 8555 §7.3.1).
    pub only_existing: bool,
}

/// The account that a request for one led to.
#[derive(Debug, Clone)]
pub enum Registered {
    /// There was none and it was made.
    Created(Account),
    /// The key had one already; it is as it was.
    Existing(Account),
}

impl Acme {
    /// Finds the account of `key`, or makes one if the access policy allows
    /// `acme.account.create`.
    ///
    /// # Errors
    /// [`Error::NoAccount`] if one should only be found and there is none, [`Error::Denied`],
    /// [`Error::RateLimited`], and what is wrong with the contacts or the terms.
    #[tracing::instrument(name = "acme.account.create", skip_all)]
    pub async fn new_account(
        &self,
        context: &RequestContext,
        key: AccountKey,
        request: NewAccount,
    ) -> Result<Registered, Error> {
        let thumbprint = key.thumbprint();
        if let Some(found) = self.account_of_key(context, &thumbprint).await? {
            return match found.value.status {
                AccountStatus::Valid => Ok(Registered::Existing(found.value)),
                AccountStatus::Deactivated => Err(Error::AccountDeactivated),
            };
        }
        if request.only_existing {
            return Err(Error::NoAccount);
        }
        let mut event = Event::new(context, OPERATION, RESOURCE).detail("thumbprint", thumbprint);
        let made = match self.may_be_refused(context, Asking::NewAccount).await {
            Ok(refusals) => match self.make_account(context, key, request, &mut event).await {
                Ok(registered) => Ok(registered),
                Err(error) => Err(self.count_refusal(context, refusals, error).await),
            },
            Err(limited) => Err(limited),
        };
        self.conclude(context, event, made).await
    }

    async fn make_account(
        &self,
        context: &RequestContext,
        key: AccountKey,
        mut request: NewAccount,
        event: &mut Event,
    ) -> Result<Registered, Error> {
        let thumbprint = key.thumbprint();
        request.contact = contact::parse(&request.contact)?;
        if let Some(terms) = &self.config.terms_of_service
            && !request.terms_agreed
        {
            return Err(Error::TermsNotAgreed { terms: terms.clone() });
        }
        let mut seat = self.find_account_seat(context).await?;
        let mut attributes = vec![("thumbprint".to_owned(), thumbprint.clone())];
        attributes.extend(request.contact.iter().map(|one| ("contact".to_owned(), one.clone())));
        let question = Question {
            identity: &format!("acme:{thumbprint}"),
            operation: OPERATION,
            resource: RESOURCE,
            attributes,
        };
        self.ask(context, event, question).await?;

        let now = self.clock.now();
        let account = Account {
            id: AccountId::new(now),
            key,
            status: AccountStatus::Valid,
            contact: request.contact,
            terms_agreed: request.terms_agreed,
            created: now,
            last_order: None,
        };
        let by_key = records::account_of_key(&context.tenant, &thumbprint)?;
        let due = account.due(&self.config.limits);
        let commit = Commit::new()
            .check_absent(by_key.clone())
            .put(by_key.clone(), account.id.to_string().into_bytes())
            .put(records::account(&context.tenant, account.id)?, records::encode(&account)?)
            .put(records::account_due(&context.tenant, due, account.id)?, Vec::new());
        let mut tries = 0;
        loop {
            let commit = match &seat {
                Some(seat) => {
                    seat.take(commit.clone(), now + self.config.limits.new_accounts_window)?
                }
                None => commit.clone(),
            };
            let Err(failed) = self.store.commit(commit).await else { break };
            tries += 1;
            match failed {
                // The same key, sent twice at once: the other one made the account. This one was decided
                // on too, and that is on record.
                CommitError::Conflict { key } if key == by_key => {
                    let found = self.account_of_key(context, &thumbprint).await?;
                    let found = found.ok_or_else(|| {
                        InternalError::Inconsistent(format!("the account of key {thumbprint}"))
                    })?;
                    event.set_account(found.value.id.to_string());
                    event.add_detail("existing", true);
                    return Ok(Registered::Existing(found.value));
                }
                // Somebody else took the seat.
                CommitError::Conflict { .. } if tries < TRIES => {
                    seat = self.find_account_seat(context).await?;
                }
                CommitError::Conflict { .. } => return Err(Error::Overloaded),
                error => return Err(error.into()),
            }
        }
        event.set_account(account.id.to_string());
        metrics::counter!("chancery_acme_accounts_created_total").increment(1);
        Ok(Registered::Created(account))
    }

    /// A free seat for one more account of the client.
    async fn find_account_seat(&self, context: &RequestContext) -> Result<Option<FreeSeat>, Error> {
        let Some(address) = context.address else { return Ok(None) };
        let now = self.clock.now();
        let quota = Quota {
            prefix: records::accounts_from(&context.tenant, client_network(address)),
            most: self.config.limits.new_accounts_per_address,
            name: "new-accounts-per-address",
            message: "your network has made as many accounts as it may lately: use one of them, or try \
                      again later",
        };
        quota.find(self.store.as_ref(), AccountId::new(now).lottery(), now).await
    }

    pub(crate) async fn account_of_key(
        &self,
        context: &RequestContext,
        thumbprint: &str,
    ) -> Result<Option<Stored<Account>>, Error> {
        let by_key = records::account_of_key(&context.tenant, thumbprint)?;
        let Some(record) = self.store.get(&by_key).await? else { return Ok(None) };
        let id = std::str::from_utf8(&record.value).ok().and_then(|text| text.parse().ok());
        let id = id.ok_or_else(|| InternalError::Inconsistent(by_key.to_string()))?;
        records::load(self.store.as_ref(), records::account(&context.tenant, id)?).await
    }
}
