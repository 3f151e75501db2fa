//! Work that outlives the request that began it. All of it is written down as unfinished before it
//! begins, so that a restart takes it up again. A challenge that had no turn is left so and taken up
//! later ([`Acme::take_up`]), here or by another gateway over the same store.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_identity::{RequestContext, TenantId};
use chancery_store::{Commit, CommitError, Key, Record};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::Acme;
use crate::error::Error;
use crate::id::{AuthorizationId, OrderId};
use crate::order::Order;
use crate::order::awaiting::{Awaiting, Waiting};
use crate::records;

/// How many unfinished things are read at once after a start.
const PAGE: usize = 100;
/// How often work is tried that fails because of the gateway itself; the pauses between grow from
/// one second to one minute.
const TRIES: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How much longer than its waiting and its own time may take a challenge is left to whoever began it.
const GRACE: Duration = Duration::from_secs(20);

/// What is stored of an order whose challenges are being validated.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Unfinished {
    /// From when on somebody else may take it up: whoever began it has put it off, or is gone.
    due: Timestamp,
}

/// The validations that go on in this process.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<(TenantId, AuthorizationId)>>);

/// One of them; over when it is dropped.
struct Going {
    acme: Arc<Acme>,
    what: (TenantId, AuthorizationId),
}

impl UnderWay {
    fn change<T>(&self, change: impl FnOnce(&mut HashSet<(TenantId, AuthorizationId)>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.acme.under_way.change(|all| all.remove(&self.what));
    }
}

impl Acme {
    /// Validates an authorization apart from the request, and waits for the outcome as long as an
    /// answer may be held back.
    pub(crate) async fn begin_validation(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) {
        self.hold(&mut self.spawn_validation(context, id)).await;
    }

    /// Makes an order's certificate apart from the request, and waits likewise.
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

    /// Takes up what was unfinished when the gateway last stopped: challenges that were being
    /// validated and certificates that were being made. Returns how many; they go on in the
    /// background. To be called once, at start.
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
                    for id in self.validating(tenant, &key).await? {
                        self.spawn_validation(&context, id);
                        count += 1;
                    }
                }
            }
            for key in self.keys_below(&records::unfinished_orders(tenant)).await? {
                self.spawn_issuance(&context, records::id_in(&key)?, Awaiting::nobody());
                count += 1;
            }
        }
        if count > 0 {
            tracing::info!(count, "taking up unfinished challenges and orders");
        }
        Ok(count)
    }

    /// Takes up challenges that nobody works on: they had no turn when they were begun, or the gateway
    /// that began them is gone. Returns how many; they go on in the background. To be called every few
    /// seconds.
    ///
    /// # Errors
    /// [`Error::Internal`] if the store fails; what was taken up before goes on.
    pub async fn take_up(self: &Arc<Self>) -> Result<usize, Error> {
        let mut count = 0;
        for tenant in self.config.tenants.all().iter() {
            let context = RequestContext::internal(tenant.clone(), self.clock.now());
            for prefix in Self::unfinished_validations(tenant) {
                let mut after: Option<Key> = None;
                loop {
                    let page = self.store.scan(prefix.as_bytes(), after.as_ref(), PAGE).await?;
                    after = page.last().map(|record| record.key.clone());
                    let more = page.len() == PAGE;
                    for record in page {
                        for id in self.claim(tenant, record).await? {
                            self.spawn_validation(&context, id);
                            count += 1;
                        }
                    }
                    if !more {
                        break;
                    }
                }
            }
        }
        Ok(count)
    }

    /// Where challenges are that are being validated: by order, and as earlier versions had them.
    fn unfinished_validations(tenant: &TenantId) -> [String; 2] {
        [records::unfinished_challenges(tenant), records::unfinished_authorizations(tenant)]
    }

    /// The authorizations behind the key of a record of unfinished validations.
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

    /// Those behind a record of unfinished validations that nobody works on, if it is due and nobody
    /// else was quicker to claim it.
    async fn claim(
        &self,
        tenant: &TenantId,
        record: Record,
    ) -> Result<Vec<AuthorizationId>, Error> {
        // Those of earlier versions say nothing, and are due.
        let unfinished = serde_json::from_slice::<Unfinished>(&record.value).ok();
        if unfinished.is_some_and(|unfinished| unfinished.due > self.clock.now()) {
            return Ok(Vec::new());
        }
        let mut ids = self.validating(tenant, &record.key).await?;
        self.under_way.change(|all| ids.retain(|id| !all.contains(&(tenant.clone(), *id))));
        if ids.is_empty() {
            return Ok(ids);
        }
        let commit = Commit::new()
            .check_version(record.key.clone(), record.version)
            .put(record.key, self.unfinished()?);
        match self.store.commit(commit).await {
            Ok(_) => Ok(ids),
            Err(CommitError::Conflict { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What to store of an order when the validation of a challenge begins.
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
        let what = (context.tenant.clone(), id);
        self.under_way.change(|all| all.insert(what.clone()));
        let going = Arc::new(Going { acme: Arc::clone(self), what });
        let context = context.clone();
        spawn(move || {
            let (going, context) = (Arc::clone(&going), context.clone());
            async move { going.acme.validate_authorization(&context, id).await }
        })
    }

    fn spawn_issuance(
        self: &Arc<Self>,
        context: &RequestContext,
        id: OrderId,
        client: Arc<Awaiting>,
    ) -> JoinHandle<()> {
        let (acme, context) = (Arc::clone(self), context.clone());
        spawn(move || {
            let (acme, context, client) = (Arc::clone(&acme), context.clone(), Arc::clone(&client));
            async move { acme.make_certificate(&context, id, &client).await }
        })
    }

    async fn hold(&self, task: &mut JoinHandle<()>) -> bool {
        // Either it ended, or the answer says that it has not.
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

/// Does `work` in the background, again if it fails. It fails only when the gateway itself does:
/// what goes wrong with a challenge or an order is an outcome.
fn spawn<F, W>(work: F) -> JoinHandle<()>
where
    F: Fn() -> W + Send + 'static,
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    let try_often = async move {
        let mut pause = Duration::from_secs(1);
        for attempt in 1..=TRIES {
            match work().await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, attempt, "unfinished work failed"),
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        tracing::error!("giving up for now; it is taken up again at the next start at the latest");
    };
    tokio::spawn(try_often.instrument(tracing::Span::current()))
}
