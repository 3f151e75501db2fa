//! Creates orders (RFC 8555 §7.4): checks names, profile and dates, asks the policies and stores the order.

use std::collections::HashSet;
use std::net::IpAddr;

use chancery_audit::{Event, NameList};
use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError};
use jiff::Timestamp;

use super::seats::Seats;
use super::state::In;
use super::{Authorizations, Facts, Order, TokenKey};
use crate::Acme;
use crate::account::{Account, ActiveAccount};
use crate::error::{Error, RefusedIdentifier};
use crate::id::OrderId;
use crate::identifier::{Identifier, InvalidIdentifier};
use crate::records;
use crate::refusals::Asking;
use crate::service::QuestionForEach;

const OPERATION: &str = "acme.order.create";

/// How often an order is stored anew because others took its seats.
const TRIES: usize = 20;

/// A request for a certificate (RFC 8555 §7.4).
#[derive(Debug, Clone, Default)]
pub struct NewOrder {
    /// Type and value of each name.
    pub identifiers: Vec<(String, String)>,
    /// The profile (draft-ietf-acme-profiles).
    pub profile: Option<String>,
    /// The first moment of validity asked for.
    pub not_before: Option<Timestamp>,
    /// The last moment of validity asked for.
    pub not_after: Option<Timestamp>,
}

impl Acme {
    /// Makes an order with an authorization for each of its names, if the access policies allow
    /// `acme.order.create` on each of them. A ceiling that they set on times shortens the order's life.
    ///
    /// # Errors
    /// [`Error::Identifiers`], [`Error::InvalidProfile`], [`Error::DeniedIdentifiers`],
    /// [`Error::RateLimited`], [`Error::Malformed`].
    #[tracing::instrument(name = "acme.order.create", skip_all)]
    pub async fn new_order(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        request: NewOrder,
    ) -> Result<Order, Error> {
        let names = shown(&request.identifiers);
        let mut event =
            Event::about_names(context, OPERATION, &names).account(account.id().to_string());
        let made = match self.may_be_refused(context, Asking::Order(account.id())).await {
            Ok(refusals) => match self.make_order(context, account, request, &mut event).await {
                Ok(order) => Ok(order),
                Err(error) => Err(self.count_refusal(context, refusals, error).await),
            },
            Err(limited) => Err(limited),
        };
        self.conclude(context, event, made).await
    }

    async fn make_order(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        request: NewOrder,
        event: &mut Event,
    ) -> Result<Order, Error> {
        let identifiers = self.identifiers(request.identifiers)?;
        let profile = self.profile(request.profile)?;
        let now = self.clock.now();
        self.check_validity(request.not_before, request.not_after)?;

        // Looked at before the policies are, which costs more, and taken when the order is stored.
        let seats = self.find_seats(context, account.id(), now).await?;

        let mut attributes = vec![("thumbprint".to_owned(), account.account().key.thumbprint())];
        attributes.extend(profile.iter().map(|name| ("profile".to_owned(), name.clone())));
        let question = QuestionForEach {
            identity: &Account::requester(account.id()),
            operation: OPERATION,
            identifiers: &identifiers,
            attributes,
        };
        let grant = self.ask_for_each(context, event, question).await?;

        let lifetime = self.config.order_lifetime;
        let expires = now + grant.max_ttl.map_or(lifetime, |ceiling| ceiling.min(lifetime));
        let facts = Facts {
            id: OrderId::new(now),
            account: account.id(),
            identifiers,
            authorizations: Authorizations::Within(TokenKey::random()?),
            profile,
            not_before: request.not_before,
            not_after: request.not_after,
            created: now,
            expires,
            seats: Vec::new(),
        };
        let order = self.store_order(context, account, facts, seats).await?;
        event.add_detail("order", order.facts().id.to_string());
        metrics::counter!("chancery_acme_orders_created_total").increment(1);
        Ok(order)
    }

    /// Stores a new order with its seats, and with its account, if that has had none for a while.
    async fn store_order(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        mut facts: Facts,
        mut seats: Seats,
    ) -> Result<Order, Error> {
        let (tenant, now) = (&context.tenant, facts.created);
        let mut account = account.0.clone();
        let key = records::order(tenant, facts.id)?;
        let mut tries = 0;
        loop {
            let commit = seats.take(&mut facts, Commit::new())?;
            let order = Order::Pending(In::new(facts.clone()));
            let due = order.end(&self.config);
            let mut commit = commit
                .check_absent(key.clone())
                .put(key.clone(), records::encode(&order)?)
                .put(records::order_of(tenant, facts.account, facts.id)?, Vec::new())
                .put(records::order_due(tenant, due, facts.id)?, Vec::new());
            if let Some(used) = account.value.used(now) {
                commit = commit
                    .check_version(account.key.clone(), account.version)
                    .put(account.key.clone(), records::encode(&used)?);
            }
            let Err(failed) = self.store.commit(commit).await else { return Ok(order) };
            tries += 1;
            match &failed {
                CommitError::Conflict { key } if tries < TRIES && seats.are_at(key) => {
                    seats = self.find_seats(context, facts.account, now).await?;
                }
                CommitError::Conflict { key } if tries < TRIES && *key == account.key => {
                    let found = records::load(self.store.as_ref(), account.key).await?;
                    account = ActiveAccount::of(found)?.0;
                }
                CommitError::Conflict { .. } => return Err(Error::Overloaded),
                _ => return Err(failed.into()),
            }
        }
    }

    /// The names, each once; all that is wrong with any of them is said at once.
    fn identifiers(&self, asked: Vec<(String, String)>) -> Result<Vec<Identifier>, Error> {
        if asked.is_empty() {
            return Err(Error::Malformed("the order has no identifiers".to_owned()));
        }
        if asked.len() > self.config.max_identifiers {
            return Err(Error::Malformed(format!(
                "the order has {} identifiers; at most {} are possible",
                asked.len(),
                self.config.max_identifiers
            )));
        }
        let (mut seen, mut good, mut refused) = (HashSet::new(), Vec::new(), Vec::new());
        for (kind, value) in asked {
            match self.identifier(&kind, &value) {
                Ok(identifier) if seen.insert(identifier.clone()) => good.push(identifier),
                Ok(_) => {}
                Err(reason) => refused.push(RefusedIdentifier { kind, value, reason }),
            }
        }
        if refused.is_empty() { Ok(good) } else { Err(Error::Identifiers(refused)) }
    }

    fn identifier(&self, kind: &str, value: &str) -> Result<Identifier, InvalidIdentifier> {
        let identifier = Identifier::parse(kind, value)?;
        self.check_name(&identifier)?;
        Ok(identifier)
    }

    /// Whether a name is one that can be certified here: asked when it is ordered, and again when the order is
    /// finalized, so that both say the same.
    pub(super) fn check_name(&self, identifier: &Identifier) -> Result<(), InvalidIdentifier> {
        self.config.names.check(identifier)?;
        let permitted = self.issuance.check_permitted(&identifier.general_name());
        permitted.map_err(|_| InvalidIdentifier::NotPermitted(identifier.to_string()))
    }

    /// What could not be certified is not taken: a client would prove the names in vain.
    fn check_validity(
        &self,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
    ) -> Result<(), Error> {
        if let (Some(start), Some(end)) = (not_before, not_after)
            && start >= end
        {
            return Err(Error::Malformed("`notBefore` is not before `notAfter`".to_owned()));
        }
        let possible = self.issuance.check_dates(not_before, not_after);
        possible.map_err(|error| Error::Malformed(error.to_string()))
    }

    fn profile(&self, asked: Option<String>) -> Result<Option<String>, Error> {
        match asked {
            None => Ok(self.config.default_profile.clone()),
            Some(name) if self.config.profiles.contains_key(&name) => Ok(Some(name)),
            Some(name) => Err(Error::InvalidProfile {
                asked: name.chars().take(80).collect(),
                known: self.config.profiles.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

/// The names as they were asked for, each shortened to what a line of the log should hold; addresses as policies
/// and certificates have them.
fn shown(asked: &[(String, String)]) -> NameList {
    NameList::new(asked.iter().map(|(kind, value)| match value.parse::<IpAddr>() {
        Ok(address) if kind == "ip" => Identifier::ip(address).value(),
        _ => value.chars().take(253).collect(),
    }))
}
