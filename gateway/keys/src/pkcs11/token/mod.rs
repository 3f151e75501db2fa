//! One token: finding it, logging in to it, and its sessions.

pub(crate) mod key_session;
pub(crate) mod login;
pub(crate) mod module;
pub(crate) mod pin_lockout;
pub(crate) mod sessions;

use std::sync::Arc;

use cryptoki::error::Error;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use self::login::{Login, Refusal};
use self::module::Module;
use self::sessions::Sessions;
use super::code::Code;
use super::fault::Fault;
use super::token_info::TokenInfo;
use super::{OpenError, TokenSelector};

/// One token of one module: finds it, logs in to it, opens sessions on it. Every call blocks.
pub(crate) struct Token {
    selector: TokenSelector,
    pub(crate) sessions: Arc<Sessions>,
    // Last, since the sessions above have to be closed before the use of the module ends.
    module: Arc<Module>,
}

impl Token {
    /// A token of the module; it need not be there yet.
    pub(crate) fn new(module: &Arc<Module>, selector: TokenSelector, login: Login) -> Arc<Self> {
        let sessions = Arc::new(Sessions::new(login));
        module.attach(&sessions);
        Arc::new(Self { module: Arc::clone(module), selector, sessions })
    }

    pub(crate) fn selector(&self) -> &TokenSelector {
        &self.selector
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// Finds the token and logs in. Its errors tell an operator what to do.
    pub(crate) fn enter(&self) -> Result<(), OpenError> {
        let mut login = self.sessions.login();
        let slot = self.locate()?;
        let anchor = self.module.context.open_ro_session(slot);
        let anchor = anchor.map_err(failed_at("opening a session"))?;
        login.ensure(self.module.infos(), slot, &anchor)?;
        login.anchor = Some(anchor);
        Ok(())
    }

    /// How many sessions the token admits; none if it does not say or sets no limit.
    pub(crate) fn session_limit(&self) -> Result<Option<u64>, OpenError> {
        let _login = self.sessions.login();
        let slot = self.locate()?;
        let info = self.module.token_info(slot).map_err(failed_at("reading the token's limits"))?;
        Ok(info.session_limit)
    }

    /// A logged-in session for signing (read-only: token objects can be used, not made).
    pub(crate) fn open_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_ro_session(slot))
    }

    /// A logged-in session that can make and delete keys.
    pub(crate) fn open_admin_session(&self) -> Result<Session, Fault> {
        self.open_with(|slot| self.module.context.open_rw_session(slot))
    }

    /// Logs in again if needed; other threads wait meanwhile, so that it happens once.
    fn open_with(&self, open: impl Fn(Slot) -> Result<Session, Error>) -> Result<Session, Fault> {
        let mut login = self.sessions.login();
        let module = &self.module.context;
        // Look it up each time: a token that was away may have come back in another slot.
        let slot = self.locate().map_err(|error| Fault::Closed(error.to_string()))?;
        let session = open(slot)?;
        login.ensure(self.module.infos(), slot, &session)?;
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
