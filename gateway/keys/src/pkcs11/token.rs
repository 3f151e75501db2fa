use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use cryptoki::error::Error;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::code::Code;
use super::fault::Fault;
use super::login::{Login, Refusal};
use super::module::{Module, lock, lock_until};
use super::token_info::TokenInfo;
use super::worker::KeySession;
use super::{OpenError, TokenSelector};

/// One token of one module: finds it, logs in to it, opens sessions on it. Every call blocks.
pub(super) struct Token {
    selector: TokenSelector,
    login: Mutex<Login>,
    /// The sessions besides the anchor. Each is locked while it is used.
    seats: Mutex<Vec<Weak<Mutex<Option<KeySession>>>>>,
    /// Sessions and handles of an earlier epoch are invalid: the device was away.
    epoch: AtomicU64,
    // Last, since the sessions above have to be closed before the use of the module ends.
    module: Arc<Module>,
}

/// A session's place, empty until it is opened.
pub(super) type Seat = Arc<Mutex<Option<KeySession>>>;

/// Nobody uses the token while this is held.
pub(super) struct Quiet<'a> {
    _login: MutexGuard<'a, Login>,
}

impl Token {
    /// A token of the module; it need not be there yet.
    pub(super) fn new(module: &Arc<Module>, selector: TokenSelector, login: Login) -> Arc<Self> {
        let token = Arc::new(Self {
            module: Arc::clone(module),
            selector,
            login: Mutex::new(login),
            seats: Mutex::default(),
            epoch: AtomicU64::new(0),
        });
        module.attach(&token);
        token
    }

    pub(super) fn selector(&self) -> &TokenSelector {
        &self.selector
    }

    pub(super) fn module(&self) -> &Module {
        &self.module
    }

    /// A place for one more session.
    pub(super) fn seat(&self) -> Seat {
        let seat = Seat::default();
        let mut seats = lock(&self.seats);
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(&seat));
        seat
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The device failed a session of this epoch, so all other sessions of the epoch are lost too.
    pub(super) fn lost(&self, epoch: u64) {
        let next = epoch.wrapping_add(1);
        let _ = self.epoch.compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Waits until no thread is in a call, and closes all sessions. None if a call takes too long.
    pub(super) fn fall_silent(&self, until: Instant) -> Option<Quiet<'_>> {
        let seats: Vec<Seat> =
            lock_until(&self.seats, until)?.iter().filter_map(Weak::upgrade).collect();
        let used: Vec<_> =
            seats.iter().map(|seat| lock_until(seat, until)).collect::<Option<_>>()?;
        // After the seats, in the order of the code that opens a session. While this is held, no thread can.
        let mut login = lock_until(&self.login, until)?;
        login.anchor = None;
        for mut session in used {
            *session = None;
        }
        self.lost(self.epoch());
        Some(Quiet { _login: login })
    }

    /// Finds the token and logs in. Its errors tell an operator what to do.
    pub(super) fn enter(&self) -> Result<(), OpenError> {
        let mut login = lock(&self.login);
        let slot = self.locate()?;
        let anchor = self.module.context.open_ro_session(slot);
        let anchor = anchor.map_err(failed_at("opening a session"))?;
        login.ensure(&self.module, slot, &anchor)?;
        login.anchor = Some(anchor);
        Ok(())
    }

    /// How many sessions the token admits; none if it does not say or sets no limit.
    pub(super) fn session_limit(&self) -> Result<Option<u64>, OpenError> {
        let _login = lock(&self.login);
        let slot = self.locate()?;
        let info = self.module.token_info(slot).map_err(failed_at("reading the token's limits"))?;
        Ok(info.session_limit)
    }

    /// A logged-in session for signing (read-only: token objects can be used, not made).
    pub(super) fn open_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_ro_session(slot))
    }

    /// A logged-in session that can make and delete keys.
    pub(super) fn open_admin_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_rw_session(slot))
    }

    /// Logs in again if needed; other threads wait meanwhile, so that it happens once.
    fn open_with(&self, open: impl Fn(Slot) -> Result<Session, Error>) -> Result<Session, Fault> {
        let mut login = lock(&self.login);
        let module = &self.module.context;
        // Look it up each time: a token that was away may have come back in another slot.
        let slot = self.locate().map_err(|error| Fault::Closed(error.to_string()))?;
        let session = open(slot)?;
        login.ensure(&self.module, slot, &session)?;
        if login.anchor.as_ref().is_none_or(|anchor| anchor.get_session_info().is_err()) {
            login.anchor = Some(module.open_ro_session(slot)?);
        }
        Ok(session)
    }

    /// Where the token is. The caller holds the lock of the login: the module must not be initialised anew
    /// meanwhile.
    fn locate(&self) -> Result<Slot, OpenError> {
        let slots = self.module.context.get_slots_with_token();
        let slots = slots.map_err(failed_at("listing the slots"))?;
        // Skip a slot whose token gives no information: the token went away between the two calls, or is
        // another one that is out of order.
        let tokens: Vec<(Slot, TokenInfo)> = slots
            .into_iter()
            .filter_map(|slot| Some((slot, self.module.token_info(slot).ok()?)))
            .filter(|(_, info)| info.is_initialised())
            .collect();
        let mut matching = tokens.iter().filter(|(_, info)| self.selector.matches(info));
        match (matching.next(), matching.next()) {
            (Some((slot, _)), None) => Ok(*slot),
            (None, _) => Err(OpenError::NoSuchToken {
                token: self.selector.clone(),
                present: listing(&tokens),
            }),
            (Some(_), Some(_)) => Err(OpenError::AmbiguousToken {
                token: self.selector.clone(),
                present: listing(&tokens),
            }),
        }
    }
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Pin(refused) => refused.into(),
            Refusal::Later { reason, pause } => Self::LoginUnclear { reason, pause },
            Refusal::Away { pause } => {
                let seconds = pause.as_secs_f32();
                let reason = format!(
                    "it went away during several logins; there is another try after {seconds} seconds"
                );
                Self::Token { doing: "logging in", reason }
            }
            Refusal::Uncounted(error) => Self::Uncounted(error),
            Refusal::Token(error) => failed_at("logging in")(error),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Token(error) => Self::Token(error),
            other => Self::Closed(OpenError::from(other).to_string()),
        }
    }
}

fn listing(tokens: &[(Slot, TokenInfo)]) -> String {
    if tokens.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = tokens
        .iter()
        .map(|(_, info)| format!("`{}` (serial {})", info.label, info.serial))
        .collect();
    shown.join(", ")
}

fn failed_at(doing: &'static str) -> impl Fn(Error) -> OpenError {
    move |error| OpenError::Token { doing, reason: Code(&error).to_string() }
}
