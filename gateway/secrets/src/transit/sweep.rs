//! Destroys deleted keys after their waiting time, and rotates keys that are due.

use chancery_audit::Event;
use chancery_gate::{Coded as _, Refused};
use chancery_identity::RequestContext;
use chancery_records::Fence;
use chancery_store::{Commit, Key, ReadError, lenient};

use super::error::unless_damaged;
use super::parts;
use super::storage::{DUE, Layout, Loaded, parse_due};
use super::{State, Transit, TransitError, TransitKeyName};
use crate::Secrets;

/// How many entries are read at once.
const PAGE: usize = 256;

impl Secrets {
    /// Destroys the keys that have waited long enough, and rotates those whose time has come; each with
    /// its line in the audit log. Removes what interrupted restores have left. To be called every now and
    /// then, under a lease. Returns how many keys there were.
    ///
    /// # Errors
    /// If the store or the audit log fails, or the lease was lost. A key that fails does not keep the others.
    #[tracing::instrument(name = "secrets.sweep_keys", skip_all)]
    pub async fn sweep_keys(&self, fence: &Fence) -> Result<usize, TransitError> {
        let store = fence.over(&self.environment.store);
        parts::sweep(&*store, self.environment.now()).await?;
        let (mut done, mut after): (usize, Option<Key>) = (0, None);
        loop {
            let page = store.keys(DUE.as_bytes(), after.as_ref(), PAGE).await?;
            after = page.last().cloned();
            if page.is_empty() {
                return Ok(done);
            }
            for entry in &page {
                let Some((at, tenant, mount, name)) = parse_due(entry) else {
                    let reason = "its key does not say what is due to which key".to_owned();
                    lenient::pass_over(ReadError::Damaged { key: entry.clone(), reason })?;
                    // This program writes no such entry.
                    store.commit(Commit::new().delete(entry.clone())).await?;
                    continue;
                };
                if at > self.environment.now().as_second() {
                    return Ok(done);
                }
                let transit = Transit { store: &store, ..self.transit(mount) };
                let context = RequestContext::internal(tenant, self.environment.now());
                let acted = transit.act(&context, &name, at, entry).await;
                done += usize::from(unless_damaged(entry, acted)?.unwrap_or(false));
            }
        }
    }
}

impl Transit<'_> {
    /// Does what is due to a key; whether that was something.
    async fn act(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        at: i64,
        entry: &Key,
    ) -> Result<bool, TransitError> {
        let layout = self.layout(&context.tenant);
        let due = match layout.load(self.store(), name).await? {
            Some(loaded) if loaded.key.due().is_some_and(|due| due.as_second() == at) => loaded,
            // The entry is about what has changed since.
            _ => {
                self.store().commit(Commit::new().delete(entry.clone())).await?;
                return Ok(false);
            }
        };
        // A mount that was taken out of the configuration keeps its keys as they are.
        if self.custody.is_none() {
            return Ok(false);
        }
        let (operation, outcome) = match due.key.state {
            State::Deleted { .. } => ("keys.destroy", self.destroy(&layout, name, &due).await),
            _ => ("keys.rotate", self.rotated(&layout, name, due).await.map(drop)),
        };
        let event = Event::new(context, operation, self.resource(name)).detail("cause", "schedule");
        let event = match &outcome {
            Ok(()) => event.succeeded(),
            Err(error) => {
                tracing::error!(%error, key = %name, operation, "what is due to a key was not done");
                event.failed(error.code())
            }
        };
        self.environment.gate().record(event).await.map_err(Refused::from)?;
        Ok(outcome.is_ok())
    }

    /// Removes a key for good: from the HSM first, since what is in no record is never removed there.
    pub(super) async fn destroy(
        &self,
        layout: &Layout<'_>,
        name: &TransitKeyName,
        loaded: &Loaded,
    ) -> Result<(), TransitError> {
        for version in loaded.key.versions.values() {
            self.custody()?.destroy(loaded.key.protection, version).await?;
        }
        self.store().commit(layout.remove(name, loaded)?).await?;
        tracing::info!(key = %name, tenant = %layout.tenant, "destroyed a key");
        Ok(())
    }
}
