//! A session in which keys are used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use crate::pkcs11::fault::Fault;
use crate::pkcs11::operations::sign::{self, Verify};
use crate::pkcs11::operations::{Operation, Outcome, wrap};
use crate::pkcs11::token::login::{LoginState, login_state};
use crate::pkcs11::token_info::TokenInfoReader;
use crate::pkcs11::token_metrics::TokenMetrics;

/// A session with the handles of the keys that were used in it. Handles die with their session.
pub(crate) struct KeySession {
    session: Session,
    epoch: u64,
    handles: HashMap<Vec<u8>, ObjectHandle>,
    counts: Counts,
    session_copies: bool,
}

/// Counts the sessions of a token, for the metrics.
pub(crate) struct Counts {
    pub(crate) metrics: TokenMetrics,
    /// Sessions that are open.
    pub(crate) open: Arc<AtomicUsize>,
    /// Sessions that are in a call.
    pub(crate) busy: Arc<AtomicUsize>,
}

impl KeySession {
    /// A session that was just opened, and is counted as open.
    pub(crate) fn new(session: Session, epoch: u64, counts: Counts, session_copies: bool) -> Self {
        Self { session, epoch, handles: HashMap::new(), counts, session_copies }
    }

    /// The epoch of the token in which it was opened.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Does an operation with a key.
    pub(crate) fn perform(&mut self, operation: &Operation, verify: Verify) -> Outcome {
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

    /// Whether it is there, and logged in, and its token is there: some modules know how a session is without asking
    /// the device.
    pub(crate) fn check(&self, infos: &TokenInfoReader) -> Result<(), Fault> {
        if login_state(&self.session)? == LoginState::Other {
            return Err(Fault::LoggedOut);
        }
        let session = self.session.get_session_info().map_err(Fault::from);
        let token = session.and_then(|session| Ok(infos.read(session.slot_id())?));
        match token {
            Err(fault) if fault.is_of_the_device() => Err(fault),
            Ok(_) | Err(_) => Ok(()),
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
        let Counts { metrics, open, busy } = &self.counts;
        let open = open.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        metrics.sessions(open, busy.load(Ordering::Relaxed));
    }
}
