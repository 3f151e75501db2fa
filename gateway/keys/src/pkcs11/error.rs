//! The errors of opening a token, of its PIN, and of making and destroying keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pkcs11::TokenSelector;
use crate::{KeyName, KeyType};

/// Why a token could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The library is missing or no PKCS#11 module.
    #[error("the PKCS#11 module {module} cannot be loaded: {reason}")]
    Module {
        /// The configured file.
        module: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// Another part of this process uses the library already; its state is per process.
    #[error("the PKCS#11 module {module} is already in use in this process; open it once")]
    AlreadyInitialised {
        /// The configured file.
        module: PathBuf,
    },
    /// The library is another one than the URI says.
    #[error("the PKCS#11 module {module} has the {what} `{found}`, and not `{wanted}`")]
    OtherLibrary {
        /// The configured file.
        module: PathBuf,
        /// Of what it says of itself.
        what: &'static str,
        /// What was said of it.
        wanted: String,
        /// What it says.
        found: String,
    },
    /// No token matches.
    #[error("there is no initialised token {token}; the module shows: {present}")]
    NoSuchToken {
        /// What was looked for.
        token: TokenSelector,
        /// Labels and serial numbers of the tokens that there are.
        present: String,
    },
    /// Several tokens match.
    #[error("several tokens {token}; choose by serial number: {present}")]
    AmbiguousToken {
        /// What was looked for.
        token: TokenSelector,
        /// Labels and serial numbers of the tokens that there are.
        present: String,
    },
    /// The PIN was refused, or trying it would be dangerous.
    #[error("{0}")]
    Pin(#[from] PinRefused),
    /// The PIN was refused in an earlier run.
    #[error(
        "the token refused its PIN before, and another attempt could lock it: correct the PIN, then \
         remove {file}"
    )]
    PinLockedOut {
        /// What remembers it.
        file: PathBuf,
    },
    /// A login failed, and the token did not say whether it looked at the PIN.
    #[error(
        "the login to the token failed ({reason}), and it is not known whether the token counted a \
         wrong PIN; there is one more try after {} seconds",
        .pause.as_secs_f32()
    )]
    LoginUnclear {
        /// What the token said.
        reason: String,
        /// How long there is no other try.
        pause: Duration,
    },
    /// A try of the PIN is counted on the disk before it is made, and that failed.
    #[error("the PIN is not tried, since the try cannot be counted in the state directory: {0}")]
    Uncounted(#[source] std::io::Error),
    /// The token admits fewer sessions than one worker needs.
    #[error(
        "the token admits {limit} sessions; at least 3 are needed (login, administration, one \
         worker)"
    )]
    TooFewSessions {
        /// Its limit.
        limit: u64,
    },
    /// A setting makes no sense.
    #[error("`{setting}` of the PKCS#11 signer must be at least 1")]
    Zero {
        /// Its name.
        setting: &'static str,
    },
    /// Somebody [stopped](super::Stop) the wait for a token.
    #[error("told to stop while it waited for the token")]
    Stopped,
    /// A worker thread could not be started.
    #[error("a thread for a PKCS#11 session cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Any other failure of the token.
    #[error("the token fails at {doing}: {reason}")]
    Token {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        reason: String,
    },
}

impl OpenError {
    /// Whether it may go away by itself: the token is not there, or out of order.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::NoSuchToken { .. } | Self::Token { .. } | Self::LoginUnclear { .. })
    }
}

/// The PIN was not accepted, or is not tried lest the token lock itself. It is not tried again
/// before the process starts anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinRefused {
    /// The token called it wrong.
    #[error("the token refused the PIN; it is not tried again: correct it, then {}", retry(lockout.as_deref()))]
    Wrong {
        /// What remembers it for the next process.
        lockout: Option<PathBuf>,
    },
    /// The token failed at every try that is safe, and did not say whether it looked at the PIN.
    #[error(
        "the login to the token failed ({reason}), and it is not known whether the token counted a \
         wrong PIN; it is not tried again: make sure that the token and the PIN are in order, then {}",
        retry(lockout.as_deref())
    )]
    Unclear {
        /// What the token said.
        reason: String,
        /// What remembers it for the next process.
        lockout: Option<PathBuf>,
    },
    /// One more wrong PIN would lock the token.
    #[error(
        "the token says that one more wrong PIN locks it; log in once by other means to reset its \
         counter, then restart"
    )]
    FinalTry,
    /// Somebody has tried a wrong PIN, and this is only to see whether all is in order.
    #[error(
        "the token shows that a wrong PIN was tried since the last login, so this does not try one: log in once by \
         other means to reset its counter"
    )]
    Counted,
    /// Too many wrong PINs already.
    #[error("the token's user PIN is locked; its security officer must set a new one")]
    Locked,
    /// Nobody ever set a user PIN, or it has expired.
    #[error("the token's user PIN is not set or has expired; set one with the vendor's tool")]
    NotSet,
}

fn retry(lockout: Option<&Path>) -> String {
    lockout.map_or_else(
        || "restart".to_owned(),
        |file| format!("remove {} and restart", file.display()),
    )
}

/// Why the token made no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The name is taken.
    #[error("the token already holds a key called `{key}`; choose another name")]
    Exists {
        /// The name.
        key: KeyName,
    },
    /// The token does not make keys of this type, or failed.
    #[error("the token did not generate `{key}` ({what}): {reason}")]
    Token {
        /// The name it was to have.
        key: KeyName,
        /// The kind of key.
        what: String,
        /// What the token said.
        reason: String,
    },
    /// The token made the key extractable or readable although told otherwise. It was deleted.
    #[error(
        "the token made `{key}` extractable or not sensitive although told otherwise; the key was \
         deleted"
    )]
    Exposed {
        /// The name it was to have.
        key: KeyName,
    },
}

impl GenerateError {
    pub(crate) fn token(key: &KeyName, what: &str, reason: &dyn std::fmt::Display) -> Self {
        Self::Token { key: key.clone(), what: what.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn of_type(
        key: &KeyName,
        key_type: KeyType,
        reason: &dyn std::fmt::Display,
    ) -> Self {
        Self::token(key, key_type.as_str(), reason)
    }
}

/// Why a key was not removed from the tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key `{key}` is not removed from every token: {reason}")]
pub struct DestroyError {
    /// The key.
    pub key: KeyName,
    /// What a token said.
    pub reason: String,
}
