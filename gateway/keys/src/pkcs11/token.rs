use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::code::Code;
use super::fault::Fault;
use super::latch::Latch;
use super::module::{Module, lock, lock_until};
use super::worker::KeySession;
use super::{OpenError, PinRefused, TokenSelector};

/// One token of one module: finds it, logs in to it, opens sessions on it. Every call blocks.
pub(super) struct Token {
    selector: TokenSelector,
    login: Mutex<Login>,
    /// The sessions that there are besides the anchor. Each is locked while it is used.
    seats: Mutex<Vec<Weak<Mutex<Option<KeySession>>>>>,
    /// Sessions and handles of an earlier epoch are worthless: the device was away.
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

/// The login belongs to the whole process, not to a session, and ends with the last session. Hence
/// one place that logs in, and one session that stays.
pub(super) struct Login {
    anchor: Option<Session>,
    pin: Pin,
    latch: Option<Latch>,
}

enum Pin {
    /// Not tried yet, or accepted before.
    Usable(AuthPin),
    /// Refused once: forgotten, and never tried again.
    Refused(PinRefused),
}

impl Token {
    /// A token of the module, which need not be there yet.
    pub(super) fn new(
        module: &Arc<Module>,
        selector: TokenSelector,
        pin: &Zeroizing<String>,
        latch: Option<Latch>,
    ) -> Arc<Self> {
        let pin = Pin::Usable(AuthPin::from(pin.as_str()));
        let token = Arc::new(Self {
            module: Arc::clone(module),
            selector,
            login: Mutex::new(Login { anchor: None, pin, latch }),
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

    /// The device has failed a session of this epoch: all others of it are lost too.
    pub(super) fn lost(&self, epoch: u64) {
        let next = epoch.wrapping_add(1);
        let _ = self.epoch.compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Waits until nobody is in a call, and closes all sessions. None if somebody is for too long.
    pub(super) fn fall_silent(&self, until: Instant) -> Option<Quiet<'_>> {
        let seats: Vec<Seat> =
            lock_until(&self.seats, until)?.iter().filter_map(Weak::upgrade).collect();
        let used: Vec<_> =
            seats.iter().map(|seat| lock_until(seat, until)).collect::<Option<_>>()?;
        // After the seats, as those do it who open a session; and while this is held, nobody can.
        let mut login = lock_until(&self.login, until)?;
        login.anchor = None;
        for mut session in used {
            *session = None;
        }
        self.lost(self.epoch());
        Some(Quiet { _login: login })
    }

    /// Finds the token and logs in, with errors that an operator can act upon.
    pub(super) fn enter(&self) -> Result<(), OpenError> {
        let mut login = lock(&self.login);
        let slot = self.locate()?;
        let module = &self.module.context;
        let anchor = module.open_ro_session(slot).map_err(failed_at("opening a session"))?;
        match login.ensure(module, slot, &anchor) {
            Ok(()) => {}
            Err(Refusal::Pin(refused)) => return Err(refused.into()),
            Err(Refusal::Token(error)) => return Err(failed_at("logging in")(error)),
        }
        login.anchor = Some(anchor);
        Ok(())
    }

    /// How many sessions the token admits; none if it does not say or sets no limit.
    pub(super) fn session_limit(&self) -> Result<Option<u64>, OpenError> {
        let _login = lock(&self.login);
        let slot = self.locate()?;
        let module = &self.module.context;
        let info = module.get_token_info(slot).map_err(failed_at("reading the token's limits"))?;
        Ok(match info.max_session_count() {
            Limit::Max(limit) => Some(limit),
            Limit::Unavailable | Limit::Infinite => None,
        })
    }

    /// A logged-in session for signing (read-only: token objects can be used, not made).
    pub(super) fn open_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_ro_session(slot))
    }

    /// A logged-in session that can make and delete keys.
    pub(super) fn open_admin_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_rw_session(slot))
    }

    /// Logs in again where that is needed; the others wait meanwhile, so that it happens once.
    fn open_with(&self, open: impl Fn(Slot) -> Result<Session, Error>) -> Result<Session, Fault> {
        let mut login = lock(&self.login);
        let module = &self.module.context;
        // Looked up each time: a token that was away may have come back in another slot.
        let slot = self.locate().map_err(|error| Fault::Closed(error.to_string()))?;
        let session = open(slot)?;
        login.ensure(module, slot, &session).map_err(|refusal| match refusal {
            Refusal::Pin(refused) => Fault::from(refused),
            Refusal::Token(error) => Fault::from(error),
        })?;
        if login.anchor.as_ref().is_none_or(|anchor| anchor.get_session_info().is_err()) {
            login.anchor = Some(module.open_ro_session(slot)?);
        }
        Ok(session)
    }

    /// Where the token is. Whoever asks holds the lock of the login: the module must not be initialised anew
    /// meanwhile.
    fn locate(&self) -> Result<Slot, OpenError> {
        let module = &self.module.context;
        let slots =
            module.get_slots_with_initialized_token().map_err(failed_at("listing the slots"))?;
        // A slot whose token goes away between the two calls is no candidate.
        let tokens: Vec<(Slot, TokenInfo)> = slots
            .into_iter()
            .filter_map(|slot| Some((slot, module.get_token_info(slot).ok()?)))
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

enum Refusal {
    Pin(PinRefused),
    Token(Error),
}

impl Login {
    /// Logs in unless somebody has.
    fn ensure(&mut self, module: &Pkcs11, slot: Slot, session: &Session) -> Result<(), Refusal> {
        if is_logged_in(session).map_err(Refusal::Token)? {
            return Ok(());
        }
        let pin = match &self.pin {
            Pin::Usable(pin) => pin,
            Pin::Refused(refused) => return Err(Refusal::Pin(refused.clone())),
        };
        let info = module.get_token_info(slot).map_err(Refusal::Token)?;
        let verdict = match danger(&info) {
            Some(refused) => Err(refused),
            None => match session.login(UserType::User, Some(pin)) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
                Err(error) => Err(pin_refusal(&error).ok_or(Refusal::Token(error))?),
            },
        };
        verdict.map_err(|refused| {
            tracing::error!(%refused, "no login to the token; the PIN is not tried again");
            if refused == PinRefused::Wrong
                && let Some(Err(error)) = self.latch.as_ref().map(Latch::set)
            {
                tracing::error!(%error, "cannot remember this for the next start: do not restart");
            }
            self.pin = Pin::Refused(refused.clone());
            Refusal::Pin(refused)
        })
    }
}

/// Whether the session, and so the process, is logged in as the token's user.
pub(super) fn is_logged_in(session: &Session) -> Result<bool, Error> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}

/// Why the PIN must not even be tried.
fn danger(info: &TokenInfo) -> Option<PinRefused> {
    if info.user_pin_locked() {
        Some(PinRefused::Locked)
    } else if info.user_pin_final_try() {
        Some(PinRefused::FinalTry)
    } else if !info.user_pin_initialized() {
        Some(PinRefused::NotSet)
    } else {
        None
    }
}

fn pin_refusal(error: &Error) -> Option<PinRefused> {
    let Error::Pkcs11(code, _) = error else { return None };
    match code {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
            Some(PinRefused::Wrong)
        }
        RvError::PinLocked => Some(PinRefused::Locked),
        RvError::PinExpired | RvError::UserPinNotInitialized => Some(PinRefused::NotSet),
        _ => None,
    }
}

impl TokenSelector {
    fn matches(&self, info: &TokenInfo) -> bool {
        match self {
            Self::Label(label) => info.label().trim_end() == label,
            Self::Serial(serial) => info.serial_number().trim_end() == serial,
        }
    }
}

fn listing(tokens: &[(Slot, TokenInfo)]) -> String {
    if tokens.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = tokens
        .iter()
        .map(|(_, info)| {
            format!("`{}` (serial {})", info.label().trim_end(), info.serial_number().trim_end())
        })
        .collect();
    shown.join(", ")
}

fn failed_at(doing: &'static str) -> impl Fn(Error) -> OpenError {
    move |error| OpenError::Token { doing, reason: Code(&error).to_string() }
}
