use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::fault::Fault;
use super::pool::{Job, Operation, Outcome};
use super::token::{Token, is_logged_in};
use super::{sign, wrap};
use crate::metrics;

/// One thread's share of the pool: a session of its own, opened again when it breaks.
pub(super) struct Worker {
    pub(super) token: Arc<Token>,
    pub(super) session: Option<KeySession>,
    /// Worker sessions that are open, of all threads.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) session_copies: bool,
}

impl Worker {
    /// Opens the session ahead of the first operation.
    pub(super) fn prepare(&mut self) -> Result<(), Fault> {
        self.session = Some(self.open()?);
        Ok(())
    }

    /// Does one job, at most twice: the second time with a fresh session if the first was stale.
    pub(super) fn serve(&mut self, job: Job) {
        metrics::waited(job.queued);
        if job.is_pointless() {
            return;
        }
        let outcome = match self.attempt(&job.operation) {
            Err(fault) if fault.is_stale() => self.attempt(&job.operation),
            other => other,
        };
        if let Err(fault) = &outcome {
            tracing::warn!(key = %job.operation.key(), %fault, "an operation of the token failed");
        }
        // Whoever asked may have given up; nobody else wants the answer.
        let _ = job.reply.send(outcome);
    }

    fn attempt(&mut self, operation: &Operation) -> Outcome {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.open()?,
        };
        let result = session.perform(operation);
        match &result {
            Err(fault) if !fault.spares_the_session() => {
                metrics::session_lost(fault.cause());
                tracing::debug!(%fault, "giving up a session of the token");
            }
            _ => self.session = Some(session),
        }
        result
    }

    fn open(&self) -> Result<KeySession, Fault> {
        let session = self.token.open_session()?;
        metrics::sessions(self.open.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(KeySession {
            session,
            handles: HashMap::new(),
            open: Arc::clone(&self.open),
            session_copies: self.session_copies,
        })
    }
}

/// A session with the handles of the keys that were used in it. Handles die with their session.
pub(super) struct KeySession {
    session: Session,
    handles: HashMap<Vec<u8>, ObjectHandle>,
    open: Arc<AtomicUsize>,
    session_copies: bool,
}

impl KeySession {
    fn perform(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Sign { key, algorithm, message } => {
                let handle = self.handle(ObjectClass::PRIVATE_KEY, &key.id)?;
                sign::sign(&self.session, handle, key, *algorithm, message).map(Zeroizing::new)
            }
            Operation::Wrap { key, plaintext, aad } => {
                let handle = self.handle(ObjectClass::SECRET_KEY, &key.id)?;
                wrap::wrap(&self.session, handle, plaintext, aad).map(Zeroizing::new)
            }
            Operation::Unwrap { key, wrapped, aad } => {
                let handle = self.handle(ObjectClass::SECRET_KEY, &key.id)?;
                wrap::unwrap(&self.session, handle, wrapped, aad)
            }
        }
    }

    fn handle(&mut self, class: ObjectClass, id: &[u8]) -> Result<ObjectHandle, Fault> {
        if let Some(handle) = self.handles.get(id) {
            return Ok(*handle);
        }
        let template =
            [Attribute::Class(class), Attribute::Token(true), Attribute::Id(id.to_vec())];
        let handle = match self.session.find_objects(&template)?.as_slice() {
            [] if !is_logged_in(&self.session)? => return Err(Fault::LoggedOut),
            [] => return Err(Fault::NoObject),
            [object] => self.working_copy(*object),
            [_, _, ..] => return Err(Fault::SeveralObjects),
        };
        self.handles.insert(id.to_vec(), handle);
        Ok(handle)
    }

    /// A copy that lives in the session's memory, if that is wanted and the token admits it.
    fn working_copy(&self, object: ObjectHandle) -> ObjectHandle {
        if !self.session_copies {
            return object;
        }
        match self.session.copy_object(object, &[Attribute::Token(false)]) {
            Ok(copy) => copy,
            Err(error) => {
                tracing::info!(%error, "the token copies no keys into sessions; using the original");
                object
            }
        }
    }
}

impl Drop for KeySession {
    fn drop(&mut self) {
        metrics::sessions(self.open.fetch_sub(1, Ordering::Relaxed).saturating_sub(1));
    }
}
