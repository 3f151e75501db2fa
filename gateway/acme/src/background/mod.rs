//! Work that outlives the request that began it. All of it is recorded as unfinished before it begins, so that a
//! restart can resume it. A challenge that had no turn stays unfinished, and so does an order whose CA is unavailable;
//! this gateway or another one on the same store takes them up later ([`Acme::take_up`]).

mod orders;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::{RequestContext, TenantId};
use chancery_records::{Recorded, decode};
use chancery_store::{Commit, Key, Record, lenient};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::Acme;
use crate::error::Error;
use crate::id::{AuthorizationId, OrderId};
use crate::order::Order;
use crate::order::awaiting::{Awaiting, Waiting};
use crate::records::{self, unless_damaged};
use crate::under_way::What;

/// How many unfinished records are read at once.
const PAGE: usize = 100;
/// How often work that fails because of the gateway itself is tried; the pauses in between grow from one second to one
/// minute.
const TRIES: u32 = 10;
/// The same for a certificate. Each of its tries takes a minute if another CA makes it.
const ISSUANCE_TRIES: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How much longer than its wait and its own timeout a challenge is left to the gateway that began it.
const GRACE: Duration = Duration::from_secs(20);

/// The record of an order whose challenges are being validated.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Unfinished {
    /// From when on another gateway may take it up: the one that began it has put it off, or is gone.
    due: Timestamp,
}

impl Recorded for Unfinished {}

/// One piece of it; over when dropped.
struct Going {
    acme: Arc<Acme>,
    what: (TenantId, What),
}

impl Drop for Going {
    fn drop(&mut self) {
        self.acme.under_way.change(|all| all.remove(&self.what));
    }
}

impl Acme {
    /// Validates an authorization independently of the request, and waits for the outcome as long as an answer may be
    /// held back.
    pub(crate) async fn begin_validation(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) {
        self.hold(&mut self.spawn_validation(context, id)).await;
    }

    /// Makes an order's certificate independently of the request, and waits in the same way.
    pub(crate) async fn begin_issuance(
        self: &Arc<Self>,
        context: &RequestContext,
        id: OrderId,
        waiting: Waiting,
    ) {
        let mut task = self.spawn_issuance(context, id, waiting.shared());
        if !self.hold(&mut task).await && !waiting.leave() {
            self.hold(&mut task).await;
        }
    }

    /// Resumes what was unfinished when the gateway last stopped: challenges that were being validated and certificates
    /// that were being made, of these no more than are made at once. Returns how many there were; they go on in the
    /// background. Call it once, at the start.
    ///
    /// # Errors
    /// [`Error::Internal`] if the store cannot be read.
    #[tracing::instrument(name = "acme.resume", skip_all)]
    pub async fn resume(self: &Arc<Self>) -> Result<usize, Error> {
        let mut count = 0;
        for tenant in self.config.tenants.all().iter() {
            let context = RequestContext::internal(tenant.clone(), self.clock.now());
            for prefix in Self::unfinished_validations(tenant) {
                for key in self.keys_below(&prefix).await? {
                    let ids = unless_damaged(self.validating(tenant, &key).await)?;
                    for id in ids.unwrap_or_default() {
                        self.spawn_validation(&context, id);
                        count += 1;
                    }
                }
            }
            count += self.resume_orders(tenant, &context).await?;
        }
        if count > 0 {
            tracing::info!(count, "taking up unfinished challenges and orders");
        }
        Ok(count)
    }

    /// Takes up challenges and orders that nobody works on: they had no turn when they were begun, their CA was
    /// unavailable, or the gateway that began them is gone. Returns how many there were; they go on in the background.
    /// Call it every few seconds. What is damaged is passed over.
    ///
    /// # Errors
    /// [`Error::Internal`] if the store fails; what was taken up before goes on.
    pub async fn take_up(self: &Arc<Self>) -> Result<usize, Error> {
        let mut count = 0;
        for tenant in self.config.tenants.all().iter() {
            let context = RequestContext::internal(tenant.clone(), self.clock.now());
            for prefix in Self::unfinished_validations(tenant) {
                count += self.take_up_challenges(tenant, &context, &prefix).await?;
            }
            let orders = self.take_up_orders(tenant, &context).await;
            count += unless_damaged(orders)?.unwrap_or_default();
        }
        Ok(count)
    }

    async fn take_up_challenges(
        self: &Arc<Self>,
        tenant: &TenantId,
        context: &RequestContext,
        prefix: &str,
    ) -> Result<usize, Error> {
        let (mut count, mut after) = (0, None::<Key>);
        loop {
            let store = self.store.as_ref();
            let found = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
            for record in found.records {
                let ids = unless_damaged(self.claim(tenant, record).await)?;
                for id in ids.unwrap_or_default() {
                    self.spawn_validation(context, id);
                    count += 1;
                }
            }
            after = found.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// The key prefixes of challenges that are being validated: by order, and the form of earlier versions.
    fn unfinished_validations(tenant: &TenantId) -> [String; 2] {
        [records::unfinished_challenges(tenant), records::unfinished_authorizations(tenant)]
    }

    /// The authorizations that the key of a record of unfinished validations stands for.
    async fn validating(
        &self,
        tenant: &TenantId,
        key: &Key,
    ) -> Result<Vec<AuthorizationId>, Error> {
        let of_earlier = records::unfinished_authorizations(tenant);
        if key.as_bytes().starts_with(of_earlier.as_bytes()) {
            return Ok(vec![records::id_in(key)?]);
        }
        let order = records::order(tenant, records::id_in(key)?)?;
        let order = records::load::<Order>(self.store.as_ref(), order).await?;
        let order = order.map(|stored| stored.value);
        Ok(order.as_ref().map(Order::validating).unwrap_or_default())
    }

    /// The authorizations of a record of unfinished validations that nobody works on, if it is due and no other gateway
    /// claimed it first.
    async fn claim(
        &self,
        tenant: &TenantId,
        record: Record,
    ) -> Result<Vec<AuthorizationId>, Error> {
        if !self.is_due(&record)? {
            return Ok(Vec::new());
        }
        let mut ids = self.validating(tenant, &record.key).await?;
        let going = |id: &AuthorizationId| (tenant.clone(), What::Validation(*id));
        self.under_way.change(|all| ids.retain(|id| !all.contains(&going(id))));
        if ids.is_empty() {
            return Ok(ids);
        }
        let claim = Commit::new()
            .check_version(record.key.clone(), record.version)
            .put(record.key, self.unfinished()?);
        // If it was changed meanwhile, another gateway was first.
        let is_first = records::commit_unless_changed(self.store.as_ref(), claim).await?;
        Ok(if is_first { ids } else { Vec::new() })
    }

    /// Whether a record is due. Records of earlier versions are empty, have no time and are always due.
    fn is_due(&self, record: &Record) -> Result<bool, Error> {
        if record.value.is_empty() {
            return Ok(true);
        }
        Ok(decode::<Unfinished>(record)?.value.due <= self.clock.now())
    }

    /// The record of an order when the validation of a challenge begins.
    pub(crate) fn unfinished(&self) -> Result<Vec<u8>, Error> {
        let validation = &self.config.validation;
        let due = self.clock.now() + validation.turn_timeout + validation.timeout + GRACE;
        records::encode(&Unfinished { due })
    }

    fn spawn_validation(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) -> JoinHandle<()> {
        let (going, context) = (self.going(context, What::Validation(id)), context.clone());
        spawn(
            move || {
                let (going, context) = (Arc::clone(&going), context.clone());
                async move { going.acme.validate_authorization(&context, id).await }
            },
            TRIES,
        )
    }

    fn spawn_issuance(
        self: &Arc<Self>,
        context: &RequestContext,
        id: OrderId,
        client: Arc<Awaiting>,
    ) -> JoinHandle<()> {
        let (going, context) = (self.going(context, What::Issuance(id)), context.clone());
        spawn(
            move || {
                let (going, context) = (Arc::clone(&going), context.clone());
                let client = Arc::clone(&client);
                async move { going.acme.make_certificate(&context, id, &client).await }
            },
            ISSUANCE_TRIES,
        )
    }

    fn going(self: &Arc<Self>, context: &RequestContext, what: What) -> Arc<Going> {
        let what = (context.tenant.clone(), what);
        self.under_way.change(|all| all.insert(what.clone()));
        Arc::new(Going { acme: Arc::clone(self), what })
    }

    async fn hold(&self, task: &mut JoinHandle<()>) -> bool {
        // Either it ended, or the answer says that it did not.
        tokio::time::timeout(self.config.hold, task).await.is_ok()
    }

    async fn keys_below(&self, prefix: &str) -> Result<Vec<Key>, Error> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let page = self.store.keys(prefix.as_bytes(), keys.last(), PAGE).await?;
            let last = page.len() < PAGE;
            keys.extend(page);
            if last {
                return Ok(keys);
            }
        }
    }
}

/// Does `work` in the background, and repeats it if it fails. It fails only if the gateway itself fails: a failed
/// challenge or order is an outcome, not an error.
fn spawn<F, W>(work: F, tries: u32) -> JoinHandle<()>
where
    F: Fn() -> W + Send + 'static,
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let try_often = async move {
        let mut pause = Duration::from_secs(1);
        for attempt in 1..=tries {
            match work().await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, attempt, "unfinished work failed"),
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        tracing::error!("giving up for now; it is taken up again later");
    };
    tokio::spawn(try_often.instrument(tracing::Span::current()))
}
