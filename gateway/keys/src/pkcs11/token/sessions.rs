//! The sessions of a token. All of them end before its module is initialised anew or is no longer used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use super::key_session::KeySession;
use crate::pkcs11::locks::{lock, lock_until};
use crate::pkcs11::token::login::Login;

/// The login and the sessions of one token.
pub(crate) struct Sessions {
    login: Mutex<Login>,
    /// The sessions besides the one that keeps the login. Each is locked while it is used.
    slots: Mutex<Vec<Weak<Mutex<Option<KeySession>>>>>,
    /// Sessions and handles of an earlier epoch are invalid: the device was away.
    epoch: AtomicU64,
}

/// A session's place, empty until it is opened.
pub(crate) type SessionSlot = Arc<Mutex<Option<KeySession>>>;

/// Nobody uses the token while this is held.
pub(crate) struct Quiesced<'a> {
    _login: MutexGuard<'a, Login>,
}

impl Sessions {
    pub(crate) fn new(login: Login) -> Self {
        Self { login: Mutex::new(login), slots: Mutex::default(), epoch: AtomicU64::new(0) }
    }

    /// The login. While it is held, no session is opened and the module is not initialised anew.
    pub(crate) fn login(&self) -> MutexGuard<'_, Login> {
        lock(&self.login)
    }

    /// A place for one more session.
    pub(crate) fn slot(&self) -> SessionSlot {
        let slot = SessionSlot::default();
        let mut slots = lock(&self.slots);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The device failed a session of this epoch, so all other sessions of the epoch are lost too.
    pub(crate) fn lost(&self, epoch: u64) {
        let next = epoch.wrapping_add(1);
        let _ = self.epoch.compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Waits until no thread is in a call, and closes all sessions. None if a call takes too long.
    pub(crate) fn quiesce(&self, until: Instant) -> Option<Quiesced<'_>> {
        let slots: Vec<SessionSlot> =
            lock_until(&self.slots, until)?.iter().filter_map(Weak::upgrade).collect();
        let used: Vec<_> =
            slots.iter().map(|slot| lock_until(slot, until)).collect::<Option<_>>()?;
        // After the slots, in the order of the code that opens a session. While this is held, no thread can.
        let mut login = lock_until(&self.login, until)?;
        login.anchor = None;
        for mut session in used {
            *session = None;
        }
        self.lost(self.epoch());
        Some(Quiesced { _login: login })
    }
}
