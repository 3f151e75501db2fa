//! Backups of the store: made while the gateway runs or is stopped, and restored while it is stopped.

mod command;

use std::sync::Arc;

use bytes::Bytes;
use chancery_api::vault::BackupStream;
use chancery_identity::Clock;
use chancery_seal::backup::{BackupHeader, Written, write_backup};
use chancery_store::ReadError;
use chancery_store::redb::Frozen;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub(crate) use command::{BackupArgs, run};

use crate::store::OpenStore;

/// How many pieces may wait for the reader of the backup.
const AHEAD: usize = 4;

/// Makes backups of a running gateway, one at a time: while one is made, the store's file keeps the pages of
/// that state.
pub(crate) struct Backups {
    sealed: OpenStore,
    clock: Clock,
    one: Arc<Semaphore>,
}

impl Backups {
    pub(crate) fn new(sealed: OpenStore, clock: Clock) -> Self {
        Self { sealed, clock, one: Arc::new(Semaphore::new(1)) }
    }

    /// Begins a backup; none while another is being made.
    pub(crate) fn begin(&self) -> Result<Option<BackupStream>, String> {
        let Ok(permit) = self.one.clone().try_acquire_owned() else { return Ok(None) };
        let state = self.sealed.freeze().map_err(|error| error.to_string())?;
        let newest = state.newest().get();
        let (out, pieces) = mpsc::channel(AHEAD);
        let (tell, outcome) = oneshot::channel();
        let (sealed, clock) = (self.sealed.clone(), self.clock.clone());
        tokio::spawn(async move {
            let written = write(&sealed, state, &clock, &out).await;
            let counted = match &written {
                Ok(Some(Written { records, damaged })) => {
                    tracing::info!(records, damaged, newest, "made a backup");
                    #[expect(clippy::cast_precision_loss, reason = "it is a time of this century")]
                    metrics::gauge!("chancery_backup_last_success_timestamp_seconds")
                        .set(clock.now().as_second() as f64);
                    "made"
                }
                Ok(None) => "given-up",
                Err(error) => {
                    tracing::error!(%error, "a backup was not made");
                    "failed"
                }
            };
            metrics::counter!("chancery_backups_total", "outcome" => counted).increment(1);
            drop((out, permit));
            // The reader of the backup may be gone.
            let _ = tell.send(written.map(drop).map_err(|error| error.to_string()));
        });
        Ok(Some(BackupStream { newest, pieces, outcome }))
    }
}

/// Writes a state of the store.
async fn write(
    sealed: &OpenStore,
    state: Frozen,
    clock: &Clock,
    out: &mpsc::Sender<Bytes>,
) -> Result<Option<Written>, ReadError> {
    let header = BackupHeader {
        created: clock.now().to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        newest: state.newest().get(),
    };
    write_backup(&sealed.barrier, state, &header, out).await
}
