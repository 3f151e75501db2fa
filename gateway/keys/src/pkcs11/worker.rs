use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::answers::Answers;
use super::fault::Fault;
use super::health::Health;
use super::lane::{Job, Operation, Outcome};
use super::login::{LoginState, login_state};
use super::meters::Meters;
use super::module::lock;
use super::sign::{self, Verify};
use super::token::{Seat, Token};
use super::wrap;

/// One thread's share of a token: a session of its own, opened again when it breaks.
pub(super) struct Worker {
    pub(super) token: Arc<Token>,
    pub(super) health: Arc<Health>,
    pub(super) meters: Meters,
    /// Those of all workers of the token.
    pub(super) answers: Arc<Answers>,
    pub(super) seat: Seat,
    /// Workers of the token that are in a call.
    pub(super) busy: Arc<AtomicUsize>,
    /// Worker sessions of the token that are open.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) session_copies: bool,
    pub(super) verify: Verify,
}

impl Worker {
    /// Opens the session ahead of the first operation.
    pub(super) fn prepare(&self) -> Result<(), Fault> {
        *lock(&self.seat) = Some(self.open()?);
        Ok(())
    }

    /// Does one job, at most twice: the second time with a fresh session if the first one, or the
    /// device, was away for a moment.
    pub(super) fn serve(&self, job: Job) {
        self.meters.waited(job.queued);
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
        self.answers.hold(job.reply, outcome, begun.elapsed());
    }

    /// Asks something of a token that nobody used for a while: what is between it and here may forget
    /// sessions that are idle, and a token that went away is better known before somebody needs it.
    pub(super) fn check(&self) {
        if self.health.trouble().is_some() {
            return;
        }
        if let Err(fault) = self.tried(|session| session.check()) {
            tracing::warn!(token = %self.token.selector(), %fault, "an idle session of the token failed");
        }
    }

    /// Does something, at most twice, and tells everybody if it failed because the device is away.
    fn tried<T>(&self, work: impl Fn(&mut KeySession) -> Result<T, Fault>) -> Result<T, Fault> {
        let recoveries = self.health.recoveries();
        let busy = self.busy.fetch_add(1, Ordering::AcqRel) + 1;
        self.meters.sessions(self.open.load(Ordering::Relaxed), busy);
        let outcome = match self.attempt(&work) {
            Err(fault) if fault.is_stale() || fault.is_of_the_device() => self.attempt(&work),
            other => other,
        };
        let busy = self.busy.fetch_sub(1, Ordering::AcqRel).saturating_sub(1);
        self.meters.sessions(self.open.load(Ordering::Relaxed), busy);
        if let Err(fault) = &outcome
            && fault.is_of_the_device()
        {
            self.health.down_since(recoveries, fault.to_string());
        }
        outcome
    }

    fn attempt<T>(&self, work: impl Fn(&mut KeySession) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut seat = lock(&self.seat);
        let fresh = seat.take().filter(|session| session.epoch == self.token.epoch());
        let mut session = match fresh {
            Some(session) => session,
            None => self.open()?,
        };
        let result = work(&mut session);
        match &result {
            Err(fault) if !fault.spares_the_session() => {
                self.meters.session_lost(fault.cause());
                tracing::debug!(%fault, "giving up a session of the token");
                if fault.is_of_the_device() {
                    self.token.lost(session.epoch);
                }
            }
            _ => *seat = Some(session),
        }
        result
    }

    fn open(&self) -> Result<KeySession, Fault> {
        // Before the session: whatever is lost from here on, it is too.
        let epoch = self.token.epoch();
        let session = self.token.open_session()?;
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.meters.sessions(open, self.busy.load(Ordering::Relaxed));
        Ok(KeySession {
            session,
            epoch,
            handles: HashMap::new(),
            meters: self.meters.clone(),
            open: Arc::clone(&self.open),
            busy: Arc::clone(&self.busy),
            session_copies: self.session_copies,
        })
    }
}

/// No session outlives its thread.
impl Drop for Worker {
    fn drop(&mut self) {
        *lock(&self.seat) = None;
    }
}

/// A session with the handles of the keys that were used in it. Handles die with their session.
pub(super) struct KeySession {
    session: Session,
    epoch: u64,
    handles: HashMap<Vec<u8>, ObjectHandle>,
    meters: Meters,
    open: Arc<AtomicUsize>,
    busy: Arc<AtomicUsize>,
    session_copies: bool,
}

impl KeySession {
    fn perform(&mut self, operation: &Operation, verify: Verify) -> Outcome {
        match operation {
            Operation::Sign { key, algorithm, message } => {
                let handle = self.handle(ObjectClass::PRIVATE_KEY, &key.id)?;
                sign::sign(&self.session, handle, key, *algorithm, message, verify)
                    .map(Zeroizing::new)
            }
            Operation::Wrap { key, plaintext, aad } => {
                let handle = self.handle(ObjectClass::SECRET_KEY, &key.id)?;
                wrap::wrap(&self.session, handle, plaintext, aad).map(Zeroizing::new)
            }
            Operation::Unwrap { key, wrapped, aad } => {
                let handle = self.handle(ObjectClass::SECRET_KEY, &key.id)?;
                wrap::unwrap(&self.session, handle, wrapped, aad)
            }
            Operation::Decrypt { key, hash, ciphertext } => {
                let handle = self.handle(ObjectClass::PRIVATE_KEY, &key.id)?;
                wrap::decrypt(&self.session, handle, *hash, ciphertext)
            }
        }
    }

    /// Whether it is there, and logged in.
    fn check(&self) -> Result<(), Fault> {
        match login_state(&self.session)? {
            LoginState::Other => Err(Fault::LoggedOut),
            LoginState::User | LoginState::Unknown => Ok(()),
        }
    }

    fn handle(&mut self, class: ObjectClass, id: &[u8]) -> Result<ObjectHandle, Fault> {
        if let Some(handle) = self.handles.get(id) {
            return Ok(*handle);
        }
        let template =
            [Attribute::Class(class), Attribute::Token(true), Attribute::Id(id.to_vec())];
        let handle = match self.session.find_objects(&template)?.as_slice() {
            [] if login_state(&self.session)? == LoginState::Other => {
                return Err(Fault::LoggedOut);
            }
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
        let open = self.open.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        self.meters.sessions(open, self.busy.load(Ordering::Relaxed));
    }
}
