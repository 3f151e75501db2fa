//! A thread with a session that serves the queue of a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::health::Health;
use super::job::Job;
use super::replies::ReplyBatcher;
use crate::pkcs11::fault::Fault;
use crate::pkcs11::locks::lock;
use crate::pkcs11::operations::sign::Verify;
use crate::pkcs11::token::Token;
use crate::pkcs11::token::key_session::{Counts, KeySession};
use crate::pkcs11::token::sessions::SessionSlot;
use crate::pkcs11::token_metrics::TokenMetrics;

/// One thread's share of a token: a session of its own, opened again when it breaks.
pub(crate) struct Worker {
    pub(crate) token: Arc<Token>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: TokenMetrics,
    /// Those of all workers of the token.
    pub(crate) replies: Arc<ReplyBatcher>,
    pub(crate) slot: SessionSlot,
    /// Workers of the token that are in a call.
    pub(crate) busy: Arc<AtomicUsize>,
    /// Worker sessions of the token that are open.
    pub(crate) open: Arc<AtomicUsize>,
    pub(crate) session_copies: bool,
    pub(crate) verify: Verify,
}

impl Worker {
    /// Opens the session ahead of the first operation.
    pub(crate) fn prepare(&self) -> Result<(), Fault> {
        *lock(&self.slot) = Some(self.open()?);
        Ok(())
    }

    /// Does one job, at most twice: the second time with a fresh session if the first one, or the
    /// device, was away for a moment.
    pub(crate) fn serve(&self, job: Job) {
        self.metrics.waited(job.queued);
        if job.is_pointless() {
            return;
        }
        if let Some(reason) = self.health.trouble() {
            let _ = job.reply.send(Err(Fault::Closed(reason)));
            return;
        }
        let begun = Instant::now();
        let outcome = self.tried(|session| session.perform(&job.operation, self.verify));
        if let Err(fault) = &outcome {
            tracing::warn!(key = %job.operation.key(), %fault, "an operation of the token failed");
        }
        self.replies.hold(job.reply, outcome, begun.elapsed());
    }

    /// Asks something of a token that nobody used for a while: what is between it and here may forget
    /// sessions that are idle, and a token that went away is better known before somebody needs it.
    pub(crate) fn check(&self) {
        if self.health.trouble().is_some() {
            return;
        }
        if let Err(fault) = self.tried(|session| session.check(self.token.module().infos())) {
            tracing::warn!(token = %self.token.selector(), %fault, "an idle session of the token failed");
        }
    }

    /// Does something, at most twice, and tells everybody if it failed because the device is away.
    fn tried<T>(&self, work: impl Fn(&mut KeySession) -> Result<T, Fault>) -> Result<T, Fault> {
        let recoveries = self.health.recoveries();
        let busy = self.busy.fetch_add(1, Ordering::AcqRel) + 1;
        self.metrics.sessions(self.open.load(Ordering::Relaxed), busy);
        let outcome = match self.attempt(&work) {
            Err(fault) if fault.is_stale() || fault.is_of_the_device() => self.attempt(&work),
            other => other,
        };
        let busy = self.busy.fetch_sub(1, Ordering::AcqRel).saturating_sub(1);
        self.metrics.sessions(self.open.load(Ordering::Relaxed), busy);
        if let Err(fault) = &outcome
            && fault.is_of_the_device()
        {
            self.health.down_since(recoveries, fault.to_string());
        }
        outcome
    }

    fn attempt<T>(&self, work: impl Fn(&mut KeySession) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut slot = lock(&self.slot);
        let fresh = slot.take().filter(|session| session.epoch() == self.token.sessions.epoch());
        let mut session = match fresh {
            Some(session) => session,
            None => self.open()?,
        };
        let result = work(&mut session);
        match &result {
            Err(fault) if !fault.spares_the_session() => {
                self.metrics.session_lost(fault.cause());
                tracing::debug!(%fault, "giving up a session of the token");
                if fault.is_of_the_device() {
                    self.token.sessions.lost(session.epoch());
                }
            }
            _ => *slot = Some(session),
        }
        result
    }

    fn open(&self) -> Result<KeySession, Fault> {
        // Before the session: whatever is lost from here on, it is too.
        let epoch = self.token.sessions.epoch();
        let session = self.token.open_session()?;
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.sessions(open, self.busy.load(Ordering::Relaxed));
        let counts = Counts {
            metrics: self.metrics.clone(),
            open: Arc::clone(&self.open),
            busy: Arc::clone(&self.busy),
        };
        Ok(KeySession::new(session, epoch, counts, self.session_copies))
    }
}

/// No session outlives its thread.
impl Drop for Worker {
    fn drop(&mut self) {
        *lock(&self.slot) = None;
    }
}
