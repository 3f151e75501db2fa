//! The signals that a gateway heeds.

use std::time::Duration;

use anyhow::{Context, Result};
use chancery_keys::pkcs11::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::gateway::Gateway;
use crate::process;

/// What a start that is to end has for it: more than a call into a PKCS#11 module usually takes.
const STOPPING: Duration = Duration::from_secs(10);

/// Taken before anything is opened, so that no signal finds the default action.
pub(crate) struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    pub(crate) hangup: Signal,
}

impl Signals {
    pub(crate) fn take() -> Result<Self> {
        let take = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// Opens the gateway, unless a signal says that it is not wanted any more: then none, when what was begun
    /// has ended.
    pub(crate) async fn unless_stopped(
        &mut self,
        stop: &Stop,
        opening: impl Future<Output = Result<Gateway>>,
    ) -> Result<Option<Gateway>> {
        let mut opening = std::pin::pin!(opening);
        tokio::select! {
            opened = &mut opening => return opened.map(Some),
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        tracing::info!("stopping before the gateway is ready");
        stop.now();
        match tokio::time::timeout(STOPPING, opening).await {
            Ok(Ok(gateway)) if gateway.close().await => {}
            Ok(Err(error)) => tracing::info!("{error:#}"),
            // Nothing that was begun needs an end but the use of the module, and that cannot be had.
            Ok(Ok(_)) | Err(_) => process::abandon(),
        }
        Ok(None)
    }
}
