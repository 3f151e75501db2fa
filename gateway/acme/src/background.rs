//! Work that outlives the request that began it. All of it is written down as unfinished before it
//! begins, so that a restart takes it up again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chancery_identity::RequestContext;
use chancery_store::Key;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::Acme;
use crate::error::Error;
use crate::id::{AuthorizationId, OrderId};
use crate::records;

/// How many unfinished things are read at once after a start.
const PAGE: usize = 100;
/// How often work is tried that fails because of the gateway itself; the pauses between grow from
/// one second to one minute.
const TRIES: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

impl Acme {
    /// Validates an authorization apart from the request, and waits for the outcome as long as an
    /// answer may be held back.
    pub(crate) async fn begin_validation(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) {
        self.hold(self.spawn_validation(context, id)).await;
    }

    /// Makes an order's certificate apart from the request, and waits likewise.
    pub(crate) async fn begin_issuance(self: &Arc<Self>, context: &RequestContext, id: OrderId) {
        self.hold(self.spawn_issuance(context, id)).await;
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
        for tenant in &self.config.tenants {
            let context = RequestContext::internal(tenant.clone(), self.clock.now());
            for key in self.keys_below(&records::unfinished_authorizations(tenant)).await? {
                self.spawn_validation(&context, records::id_in(&key)?);
                count += 1;
            }
            for key in self.keys_below(&records::unfinished_orders(tenant)).await? {
                self.spawn_issuance(&context, records::id_in(&key)?);
                count += 1;
            }
        }
        if count > 0 {
            tracing::info!(count, "taking up unfinished challenges and orders");
        }
        Ok(count)
    }

    fn spawn_validation(
        self: &Arc<Self>,
        context: &RequestContext,
        id: AuthorizationId,
    ) -> JoinHandle<()> {
        let (acme, context) = (Arc::clone(self), context.clone());
        spawn(move || {
            let (acme, context) = (Arc::clone(&acme), context.clone());
            async move { acme.validate_authorization(&context, id).await }
        })
    }

    fn spawn_issuance(self: &Arc<Self>, context: &RequestContext, id: OrderId) -> JoinHandle<()> {
        let (acme, context) = (Arc::clone(self), context.clone());
        spawn(move || {
            let (acme, context) = (Arc::clone(&acme), context.clone());
            async move { acme.make_certificate(&context, id).await }
        })
    }

    async fn hold(&self, task: JoinHandle<()>) {
        // Either it ended, or the answer says that it has not.
        let _ = tokio::time::timeout(self.config.hold, task).await;
    }

    async fn keys_below(&self, prefix: &str) -> Result<Vec<Key>, Error> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let page = self.store.scan(prefix.as_bytes(), keys.last(), PAGE).await?;
            let last = page.len() < PAGE;
            keys.extend(page.into_iter().map(|record| record.key));
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
        tracing::error!("giving up; it is taken up again at the next start");
    };
    tokio::spawn(try_often.instrument(tracing::Span::current()))
}
