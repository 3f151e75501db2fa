//! Logging in to a token: once for the process, and never with a PIN that may be wrong more often than
//! is safe. Real tokens lock themselves after a few wrong PINs, some of them for good.
//!
//! Each try is counted on the disk before it is made ([`PinLockout`]). After it, the token's answer decides:
//!
//! - It took the PIN: nothing is counted any more.
//! - It called the PIN wrong: there is no other try.
//! - It did not look at the PIN, because the PIN is locked or not set: the try did not count.
//! - It says that it is away, and does not answer other calls either: the try did not count. If that
//!   happens again and again, the pauses between tries grow.
//! - Any other code says nothing, and "I am away" says nothing of a token that answers other calls. Some
//!   modules answer a wrong PIN so. If the token's flags do not show that it counted a wrong PIN, there is
//!   one more try after a pause. A try that was interrupted, by the end of the process too, is treated the
//!   same.

use std::io;
use std::time::{Duration, Instant};

use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::pkcs11::PinRefused;
use crate::pkcs11::code::Code;
use crate::pkcs11::token::pin_lockout::{PinLockout, Tries};
use crate::pkcs11::token_info::{TokenInfo, TokenInfoReader};

/// The login belongs to the whole process, not to a session, and ends with the last session. Hence
/// one place that logs in, and one session that stays.
pub(crate) struct Login {
    pub(crate) anchor: Option<Session>,
    pin: Pin,
    lockout: PinLockout,
    /// What the last try came to, if that was unclear, and when there may be another.
    unclear: Option<(String, Instant)>,
    /// How long there is no other try after one that was unclear.
    pause: Duration,
    /// Whether there is no try after somebody's wrong PIN.
    cautious: bool,
    /// Tries during which the token went away, one after the other.
    lost: u32,
    /// After several of these there is none before this.
    lost_until: Option<Instant>,
}

/// How often the pause after logins during which the token went away doubles.
const DOUBLINGS: u32 = 7;

enum Pin {
    /// Not tried yet, or accepted before.
    Usable(AuthPin),
    /// Refused: forgotten, and never tried again.
    Refused(PinRefused),
}

/// Why there is no login.
pub(crate) enum Refusal {
    /// The PIN must not be tried, now or ever.
    Pin(PinRefused),
    /// The last try was unclear, and there is another one later.
    Later { reason: String, pause: Duration },
    /// The token went away during several tries, and there is another one later.
    Away { pause: Duration },
    /// A try cannot be counted, so it is not made.
    Uncounted(io::Error),
    /// The token is not there, or out of order.
    Token(Error),
}

/// What an answer to `C_Login` says of the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wrong,
    Locked,
    NotSet,
    /// The token did not see it, if it really is away: whether the rest of it still answers tells.
    Lost,
    Unclear,
}

impl Login {
    pub(crate) fn new(
        pin: &Zeroizing<String>,
        lockout: PinLockout,
        pause: Duration,
        cautious: bool,
    ) -> Self {
        // Another process made the first try, and did not get to hear what came of it.
        let unclear = (lockout.tries() == Tries::One)
            .then(|| ("the last login was interrupted".to_owned(), Instant::now() + pause));
        let pin = Pin::Usable(AuthPin::from(pin.as_str()));
        Self { anchor: None, pin, lockout, unclear, pause, cautious, lost: 0, lost_until: None }
    }

    /// Logs in unless somebody has.
    pub(crate) fn ensure(
        &mut self,
        infos: &TokenInfoReader,
        slot: Slot,
        session: &Session,
    ) -> Result<(), Refusal> {
        if login_state(session).map_err(Refusal::Token)? == LoginState::User {
            return Ok(());
        }
        let pin = match &self.pin {
            Pin::Usable(pin) => pin,
            Pin::Refused(refused) => return Err(Refusal::Pin(refused.clone())),
        };
        if let Some((reason, not_before)) = &self.unclear {
            let pause = not_before.saturating_duration_since(Instant::now());
            if !pause.is_zero() {
                return Err(Refusal::Later { reason: reason.clone(), pause });
            }
        }
        if let Some(pause) =
            self.lost_until.map(|until| until.saturating_duration_since(Instant::now()))
            && !pause.is_zero()
        {
            return Err(Refusal::Away { pause });
        }
        let info = infos.read(slot).map_err(Refusal::Token)?;
        if let Some(refused) = danger(&info) {
            return Err(self.give_up(refused));
        }
        if self.cautious && info.counted_a_wrong_pin() {
            return Err(self.give_up(PinRefused::Counted));
        }
        if let Some((reason, _)) = &self.unclear
            && info.counted_a_wrong_pin()
        {
            let refused = self.no_clear_answer(reason.clone());
            return Err(self.lock_out(refused));
        }
        let before = self.lockout.begin().map_err(Refusal::Uncounted)?;
        match session.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                self.unclear = None;
                (self.lost, self.lost_until) = (0, None);
                self.settle(Tries::None);
                Ok(())
            }
            Err(error) => Err(self.judge(error, before, infos, slot, session)),
        }
    }

    /// What to do about an answer that is no success.
    fn judge(
        &mut self,
        error: Error,
        before: Tries,
        infos: &TokenInfoReader,
        slot: Slot,
        session: &Session,
    ) -> Refusal {
        let info = infos.read(slot);
        let counted = info.as_ref().is_ok_and(TokenInfo::counted_a_wrong_pin);
        let answers = info.is_ok() && session.get_session_info().is_ok();
        match verdict(&error) {
            Verdict::Wrong => {
                let refused = PinRefused::Wrong { lockout: self.lockout.file().map(Into::into) };
                self.lock_out(refused)
            }
            Verdict::Locked => {
                self.settle(before);
                self.give_up(PinRefused::Locked)
            }
            Verdict::NotSet => {
                self.settle(before);
                self.give_up(PinRefused::NotSet)
            }
            Verdict::Lost if !answers && !counted => {
                self.settle(before);
                // The first may be chance; a token that goes away at each login may have counted them.
                if self.lost > 0 {
                    let pause = self.pause * 2_u32.pow((self.lost - 1).min(DOUBLINGS));
                    self.lost_until = Some(Instant::now() + pause);
                }
                self.lost = self.lost.saturating_add(1);
                Refusal::Token(error)
            }
            Verdict::Lost | Verdict::Unclear => {
                let reason = Code(&error).to_string();
                if counted || self.lockout.tries() == Tries::Enough {
                    let refused = self.no_clear_answer(reason);
                    return self.lock_out(refused);
                }
                tracing::warn!(
                    reason,
                    pause_seconds = self.pause.as_secs_f32(),
                    "the token gave no clear answer to a login; there is one more try after a pause, \
                     unless the token shows by then that it counted a wrong PIN"
                );
                self.unclear = Some((reason.clone(), Instant::now() + self.pause));
                Refusal::Later { reason, pause: self.pause }
            }
        }
    }

    fn no_clear_answer(&self, reason: String) -> PinRefused {
        PinRefused::Unclear { reason, lockout: self.lockout.file().map(Into::into) }
    }

    /// The next process must not try either.
    fn lock_out(&mut self, refused: PinRefused) -> Refusal {
        if let Err(error) = self.lockout.refuse() {
            tracing::error!(%error, "cannot remember this for the next start: do not restart");
        }
        self.give_up(refused)
    }

    /// This process does not try any more.
    fn give_up(&mut self, refused: PinRefused) -> Refusal {
        tracing::error!(%refused, "no login to the token; the PIN is not tried again");
        self.pin = Pin::Refused(refused.clone());
        Refusal::Pin(refused)
    }

    fn settle(&mut self, tries: Tries) {
        if let Err(error) = self.lockout.restore(tries) {
            let file = self.lockout.file().unwrap_or_else(|| std::path::Path::new("")).display();
            tracing::error!(%error, %file, "cannot write down that a login did not fail");
        }
    }
}

/// Who is logged in to the token, as a session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginState {
    /// The token's user.
    User,
    /// Somebody else, or nobody.
    Other,
    /// The module answers with a state that PKCS#11 does not have.
    Unknown,
}

/// Asks a session whether it, and so the process, is logged in.
pub(crate) fn login_state(session: &Session) -> Result<LoginState, Error> {
    match session.get_session_info() {
        Ok(info) => Ok(match info.session_state() {
            SessionState::RoUser | SessionState::RwUser => LoginState::User,
            _ => LoginState::Other,
        }),
        Err(error @ (Error::Pkcs11(..) | Error::NullFunctionPointer)) => Err(error),
        Err(_) => Ok(LoginState::Unknown),
    }
}

/// Why the PIN must not even be tried.
fn danger(info: &TokenInfo) -> Option<PinRefused> {
    if info.is_locked() {
        Some(PinRefused::Locked)
    } else if info.is_at_the_final_try() {
        Some(PinRefused::FinalTry)
    } else if !info.has_user_pin() {
        Some(PinRefused::NotSet)
    } else {
        None
    }
}

fn verdict(error: &Error) -> Verdict {
    let Error::Pkcs11(code, _) = error else { return Verdict::Unclear };
    match code {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Verdict::Wrong,
        RvError::PinLocked => Verdict::Locked,
        RvError::PinExpired | RvError::UserPinNotInitialized => Verdict::NotSet,
        RvError::CryptokiNotInitialized
        | RvError::DeviceRemoved
        | RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::SlotIdInvalid
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        // "Some problem has occurred with the token and/or slot": with a reader that loses answers, the
        // card has counted.
        | RvError::DeviceError => Verdict::Lost,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn only_codes_that_speak_of_the_pin_or_of_an_absent_device_are_clear() {
        let verdict = |code| verdict(&Error::Pkcs11(code, Function::Login));
        assert_eq!(verdict(RvError::PinIncorrect), Verdict::Wrong);
        assert_eq!(verdict(RvError::PinLenRange), Verdict::Wrong);
        assert_eq!(verdict(RvError::PinLocked), Verdict::Locked);
        assert_eq!(verdict(RvError::TokenNotPresent), Verdict::Lost);
        assert_eq!(verdict(RvError::DeviceError), Verdict::Lost);
        for code in [
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::ArgumentsBad,
            RvError::HostMemory,
            RvError::DeviceMemory,
            RvError::FunctionCanceled,
            RvError::VendorDefined(0x8000_0001),
            RvError::UnknownErrorCode(0x7777),
        ] {
            assert_eq!(verdict(code), Verdict::Unclear, "{code:?}");
        }
    }
}
