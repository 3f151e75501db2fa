//! Finalizes orders (RFC 8555 §7.4): stores the CSR, has the certificate issued and stores the outcome.

use std::sync::Arc;

use chancery_audit::{Event, NameList};
use chancery_identity::RequestContext;
use chancery_issuance::{
    AcmeOrder, IssuanceRequest, IssueError, IssuedCertificate, Requester, ValidatedName,
};
use chancery_store::{Commit, CommitError, Key, Version};

use super::awaiting::{Awaiting, Waiting};
use super::csr;
use super::state::{In, Order, Processing};
use crate::Acme;
use crate::account::{Account, AccountStatus, ActiveAccount};
use crate::error::Error;
use crate::failure::{Failure, FailureKind};
use crate::id::OrderId;
use crate::records::{self, Stored};

const OPERATION: &str = "acme.order.finalize";

/// What a client gets to read if it is the gateway's fault.
const UNABLE: &str = "the server could not make the certificate; try again later";
/// The same if it was tried until the order's time was over.
const OUT_OF_REACH: &str = "the CA that makes the certificate was out of reach until the order expired; make a new \
                            order";
/// The codes of denials that are about what stands in the CSR, and not about names, accounts or times: the order
/// stays ready for another one, and the client is told `badCSR` (RFC 8555 §7.4).
const CSR_CODES: [&str; 3] = ["key-not-allowed", "common-name-not-allowed", "subject-not-allowed"];

/// Why a try made no certificate.
enum NotMade {
    /// There will be none for this CSR.
    Failed(Failure),
    /// Something is away that the same request may find there later.
    Away(IssueError),
}

impl Acme {
    /// Asks for the certificate of an order that is ready (RFC 8555 §7.4). Making it begins, and is
    /// waited for a moment: the order that is returned is valid, invalid or still processing.
    ///
    /// # Errors
    /// [`Error::OrderNotReady`], and what is wrong with the CSR; the order then stays ready.
    #[tracing::instrument(name = "acme.finalize", skip_all)]
    pub async fn finalize(
        self: &Arc<Self>,
        context: &RequestContext,
        account: &ActiveAccount,
        id: OrderId,
        csr: &str,
    ) -> Result<Order, Error> {
        if let Err(error) = self.store_csr(context, account, id, csr).await {
            // Whatever comes of a request that was taken has its line where the certificate is made.
            let event = Event::new(context, OPERATION, format!("order {id}"))
                .account(account.id().to_string())
                .detail("order", id.to_string());
            return Err(self.refuse(context, event, error).await);
        }
        self.begin_issuance(context, id, Waiting::new()).await;
        let order = self.order(context, account, id).await?;
        if let Order::Ready(ready) = &order
            && let Some(failure) = ready.rejected()
        {
            // It came back: the CSR was refused, which is on record already, and another one may be sent.
            return Err(Error::BadCsr(failure.detail.clone()));
        }
        Ok(order)
    }

    async fn store_csr(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: OrderId,
        csr: &str,
    ) -> Result<(), Error> {
        let mut stored = self.load_order(context, account, id).await?;
        if !matches!(stored.value, Order::Ready(_)) {
            return Err(Error::OrderNotReady { status: stored.value.status() });
        }
        let request = self.read_csr(csr).await?;
        loop {
            let Order::Ready(ready) = stored.value else {
                return Err(Error::OrderNotReady { status: stored.value.status() });
            };
            let identifiers = &ready.facts().identifiers;
            csr::check(&request, identifiers, &account.account().key)?;
            for identifier in identifiers {
                // The rules may have changed since it was ordered.
                let possible = self.check_name(identifier);
                possible.map_err(|error| Error::BadCsr(error.to_string()))?;
            }
            let due = self.issuance_due();
            let processing = Order::Processing(ready.finalize(csr.to_owned(), due));
            let commit = Commit::new()
                .check_version(stored.key.clone(), stored.version)
                .put(stored.key, records::encode(&processing)?);
            let commit = self.issuances(&context.tenant).add(commit, due, &id.to_string())?;
            match self.store.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {
                    stored = self.load_order(context, account, id).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes the certificate of an order that is in `Processing`, and writes down what came of it. An order whose
    /// CSR is refused goes back to `Ready` only if `client` hears of that as the answer to its CSR.
    #[tracing::instrument(name = "acme.issue", skip_all)]
    pub(crate) async fn make_certificate(
        &self,
        context: &RequestContext,
        id: OrderId,
        client: &Awaiting,
    ) -> Result<(), Error> {
        let key = records::order(&context.tenant, id)?;
        let Some((mut order, mut version)) = self.processing(&key).await? else { return Ok(()) };
        let facts = order.facts().clone();
        let made = match self.of_active_account(context, &order).await? {
            Ok(()) => self.issue(context, &order).await,
            Err(failure) => Err(NotMade::Failed(failure)),
        };
        let outcome = match made {
            Ok(issued) => Ok(issued),
            Err(NotMade::Failed(failure)) => Err(failure),
            Err(NotMade::Away(error)) => {
                if self.put_off(context, order.clone(), version).await? {
                    metrics::counter!("chancery_acme_orders_put_off_total").increment(1);
                    tracing::warn!(%error, order = %id, "a certificate cannot be made at the moment; it is tried again");
                    return Ok(());
                }
                tracing::error!(%error, order = %id, "no certificate was made in the order's time");
                Err(Failure::new(FailureKind::Internal, OUT_OF_REACH))
            }
        };
        let names = NameList::new(facts.identifiers.iter().map(ToString::to_string));
        let event = Event::about_names(context, OPERATION, &names)
            .account(facts.account.to_string())
            .detail("order", id.to_string());
        // Before the commit: once that is made, anybody who polls sees the outcome.
        match &outcome {
            Ok(issued) => {
                let event = event.detail("serial", issued.serial.to_string());
                self.gate.record(event.succeeded()).await?;
            }
            Err(failure) => {
                let event = event.detail("reason", failure.detail.clone());
                let event = event.failed(failure.kind.code());
                match failure.kind {
                    FailureKind::Internal => self.gate.record(event).await?,
                    // One ready order takes any number of CSRs that are refused.
                    _ => self.gate.record_unsuccessful(context, event).await?,
                }
            }
        }
        loop {
            let due = self.issuances(&context.tenant).key(order.due(), &id.to_string())?;
            let finished = Self::finished(order, &outcome, client);
            let commit = Commit::new().check_version(key.clone(), version);
            let commit = match &finished {
                Order::Valid(_) => Self::give_seats_back(commit, &facts, self.clock.now())?,
                Order::Invalid(_) => Self::keep_seats(commit, &facts, self.clock.now())?,
                // It counts on.
                Order::Pending(_) | Order::Ready(_) | Order::Processing(_) => commit,
            };
            let commit = match &outcome {
                Ok(issued) => issued.delivered(commit),
                Err(_) => commit,
            };
            let commit = commit.put(key.clone(), records::encode(&finished)?).delete(due);
            match self.store.commit(commit).await {
                Ok(_) => {
                    metrics::counter!(
                        "chancery_acme_orders_finished_total",
                        "status" => finished.status()
                    )
                    .increment(1);
                    return Ok(());
                }
                // One of its authorizations changed meanwhile. The certificate is not made twice for that.
                Err(CommitError::Conflict { .. }) => match self.processing(&key).await? {
                    Some(found) => (order, version) = found,
                    None => return Ok(()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the order's account is still active: it may have been shut off while the order waited for its CA.
    async fn of_active_account(
        &self,
        context: &RequestContext,
        order: &In<Processing>,
    ) -> Result<Result<(), Failure>, Error> {
        let facts = order.facts();
        let key = records::account(&context.tenant, facts.account)?;
        let account = records::load::<Account>(self.store.as_ref(), key).await?;
        let is_active = account.is_some_and(|account| account.value.status == AccountStatus::Valid);
        let failure = || Failure::new(FailureKind::Unauthorized, "the account was deactivated");
        Ok(if is_active { Ok(()) } else { Err(failure()) })
    }

    /// The order at this key, if its certificate is being made.
    pub(crate) async fn processing(
        &self,
        key: &Key,
    ) -> Result<Option<(In<Processing>, Version)>, Error> {
        let stored = records::load::<Order>(self.store.as_ref(), key.clone()).await?;
        Ok(match stored {
            Some(Stored { value: Order::Processing(order), version, .. }) => Some((order, version)),
            _ => None,
        })
    }

    fn finished(
        order: In<Processing>,
        outcome: &Result<IssuedCertificate, Failure>,
        client: &Awaiting,
    ) -> Order {
        match outcome {
            Ok(issued) => Order::Valid(order.issued(issued.serial.to_string())),
            // Another CSR may do.
            Err(failure) if failure.kind == FailureKind::BadCsr && client.settle() => {
                Order::Ready(order.reject(failure.clone()))
            }
            Err(failure) => Order::Invalid(order.fail(failure.clone())),
        }
    }

    async fn request(
        &self,
        context: &RequestContext,
        order: &In<Processing>,
    ) -> Result<IssuanceRequest, Failure> {
        let facts = order.facts();
        // It was read before it was stored; a later version may be stricter.
        let csr = self.read_csr(order.csr()).await.map_err(|error| match error {
            Error::BadCsr(detail) | Error::Malformed(detail) => {
                Failure::new(FailureKind::BadCsr, detail)
            }
            error => {
                tracing::error!(%error, "a CSR could not be read");
                Failure::new(FailureKind::Internal, UNABLE)
            }
        })?;
        let validated = order.validated().map(|one| ValidatedName {
            name: one.identifier.general_name(),
            method: one.method.as_str().to_owned(),
        });
        Ok(IssuanceRequest {
            context: context.clone(),
            requester: Requester::AcmeAccount { id: facts.account.to_string() },
            csr,
            profile: facts.profile.clone(),
            validated: validated.collect(),
            order: Some(AcmeOrder { id: facts.id.to_string(), expires: facts.expires }),
            not_before: facts.not_before,
            not_after: facts.not_after,
        })
    }

    async fn issue(
        &self,
        context: &RequestContext,
        order: &In<Processing>,
    ) -> Result<IssuedCertificate, NotMade> {
        let request = self.request(context, order).await.map_err(NotMade::Failed)?;
        match self.issuance.issue(request).await {
            Ok(issued) => Ok(issued),
            Err(error) if error.is_passing() => Err(NotMade::Away(error)),
            Err(error) => Err(NotMade::Failed(failure(&error))),
        }
    }
}

fn failure(error: &IssueError) -> Failure {
    let kind = match error {
        // What another CSR would mend, in the words of the policies that ship with the gateway.
        IssueError::Gate(refused) if CSR_CODES.contains(&refused.code()) => FailureKind::BadCsr,
        IssueError::Gate(_) => FailureKind::Unauthorized,
        IssueError::NamesNotValidated(_)
        | IssueError::OfAnotherTenant(_)
        | IssueError::NotPermitted(_) => FailureKind::RejectedIdentifier,
        IssueError::WeakKey(_) | IssueError::CompromisedKey | IssueError::BadName(_) => {
            FailureKind::BadCsr
        }
        IssueError::Dates(_) => FailureKind::Malformed,
        // Not the client's business, and nothing that it could mend.
        IssueError::Template(_)
        | IssueError::UnknownIssuer(_)
        | IssueError::Prepare(_)
        | IssueError::Upstream(_)
        | IssueError::Unavailable(_) => {
            tracing::error!(%error, "no certificate was made");
            return Failure::new(FailureKind::Internal, UNABLE);
        }
    };
    Failure::new(kind, error.to_string())
}
