use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::fault::Fault;
use super::{OpenError, PinRefused, TokenSelector};

/// One token of one module: finds it, logs in to it, opens sessions on it. Every call blocks.
pub(super) struct Token {
    module: Pkcs11,
    selector: TokenSelector,
    login: Mutex<Login>,
}

/// The login belongs to the whole process, not to a session, and ends with the last session. Hence
/// one place that logs in, and one session that stays.
struct Login {
    anchor: Option<Session>,
    pin: Pin,
}

enum Pin {
    /// Not tried yet, or accepted before.
    Usable(AuthPin),
    /// Refused once: forgotten, and never tried again.
    Refused(PinRefused),
}

impl Token {
    /// Loads the module, finds the token and logs in.
    pub(super) fn open(
        module: &Path,
        selector: TokenSelector,
        pin: &Zeroizing<String>,
    ) -> Result<Self, OpenError> {
        let unloadable = |error: Error| OpenError::Module {
            module: module.to_owned(),
            reason: error.to_string(),
        };
        let context = Pkcs11::new(module).map_err(unloadable)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => {}
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                return Err(OpenError::AlreadyInitialised { module: module.to_owned() });
            }
            Err(error) => return Err(unloadable(error)),
        }
        let pin = Pin::Usable(AuthPin::from(pin.as_str()));
        let login = Mutex::new(Login { anchor: None, pin });
        let token = Self { module: context, selector, login };
        token.enter()?;
        Ok(token)
    }

    /// The first login, with errors that an operator can act upon.
    fn enter(&self) -> Result<(), OpenError> {
        let slot = self.locate()?;
        let mut login = self.login();
        let anchor = self.module.open_ro_session(slot).map_err(failed_at("opening a session"))?;
        match login.ensure(&self.module, slot, &anchor) {
            Ok(()) => {}
            Err(Refusal::Pin(refused)) => return Err(refused.into()),
            Err(Refusal::Token(error)) => return Err(failed_at("logging in")(error)),
        }
        login.anchor = Some(anchor);
        Ok(())
    }

    /// How many sessions the token admits; none if it does not say or sets no limit.
    pub(super) fn session_limit(&self) -> Result<Option<u64>, OpenError> {
        let slot = self.locate()?;
        let info =
            self.module.get_token_info(slot).map_err(failed_at("reading the token's limits"))?;
        Ok(match info.max_session_count() {
            Limit::Max(limit) => Some(limit),
            Limit::Unavailable | Limit::Infinite => None,
        })
    }

    /// A logged-in session for signing (read-only: token objects can be used, not made).
    pub(super) fn open_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.open_ro_session(slot))
    }

    /// A logged-in session that can make and delete keys.
    pub(super) fn open_admin_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.open_rw_session(slot))
    }

    /// Logs in again where that is needed; the others wait meanwhile, so that it happens once.
    fn open_with(&self, open: impl Fn(Slot) -> Result<Session, Error>) -> Result<Session, Fault> {
        let mut login = self.login();
        // Looked up each time: a token that was away may have come back in another slot.
        let slot = self.locate().map_err(|error| Fault::Closed(error.to_string()))?;
        let session = open(slot)?;
        login.ensure(&self.module, slot, &session).map_err(|refusal| match refusal {
            Refusal::Pin(refused) => Fault::from(refused),
            Refusal::Token(error) => Fault::from(error),
        })?;
        if login.anchor.as_ref().is_none_or(|anchor| anchor.get_session_info().is_err()) {
            login.anchor = Some(self.module.open_ro_session(slot)?);
        }
        Ok(session)
    }

    fn locate(&self) -> Result<Slot, OpenError> {
        let slots = self
            .module
            .get_slots_with_initialized_token()
            .map_err(failed_at("listing the slots"))?;
        // A slot whose token goes away between the two calls is no candidate.
        let tokens: Vec<(Slot, TokenInfo)> = slots
            .into_iter()
            .filter_map(|slot| Some((slot, self.module.get_token_info(slot).ok()?)))
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

    fn login(&self) -> MutexGuard<'_, Login> {
        // What it guards is in order even if a holder panicked: each step leaves it valid.
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has a session holds the token too, so that the last one to go ends the use of the module.
/// Left initialised at the end of the process, some modules crash it in their static destructors.
impl Drop for Token {
    fn drop(&mut self) {
        self.login().anchor = None;
        if let Err(error) = self.module.clone().finalize() {
            tracing::warn!(%error, "the PKCS#11 module did not finalise");
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
    move |error| OpenError::Token { doing, reason: error.to_string() }
}
