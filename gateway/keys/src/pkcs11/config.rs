use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// How to reach a token and how much of it to use.
#[derive(Clone)]
pub struct Pkcs11Config {
    /// The vendor's PKCS#11 library.
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenSelector,
    /// The user PIN. It is tried once; after a refusal never again, since a retry would lock a real
    /// HSM.
    pub pin: Zeroizing<String>,
    /// Worker sessions, each with its own thread: at least 1, and no more than the token admits
    /// beside the two that are kept for the login and for administration.
    pub sessions: usize,
    /// Operations that may wait for a session; one more is refused as busy.
    pub queue: usize,
    /// How long a caller waits for an operation, queueing included.
    pub deadline: Duration,
    /// Sign with a copy of the key that lives as long as the session, where the token admits it.
    /// Worth it for tokens that load the key from disk for each signature, as SoftHSM does.
    pub session_copies: bool,
}

/// Chooses a token. There is no choice by slot number: it changes when a token is plugged elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSelector {
    /// By its label (`CKA_LABEL` of the token, without the padding).
    Label(String),
    /// By its serial number.
    Serial(String),
}

impl Pkcs11Config {
    /// The usual settings: 4 sessions, 256 waiting operations, 5 seconds, no session copies.
    pub fn new(module: impl Into<PathBuf>, token: TokenSelector, pin: Zeroizing<String>) -> Self {
        Self {
            module: module.into(),
            token,
            pin,
            sessions: 4,
            queue: 256,
            deadline: Duration::from_secs(5),
            session_copies: false,
        }
    }
}

impl std::fmt::Debug for Pkcs11Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pkcs11Config")
            .field("module", &self.module)
            .field("token", &self.token)
            .field("pin", &"(hidden)")
            .field("sessions", &self.sessions)
            .field("queue", &self.queue)
            .field("deadline", &self.deadline)
            .field("session_copies", &self.session_copies)
            .finish()
    }
}

impl std::fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label(label) => write!(f, "with the label `{label}`"),
            Self::Serial(serial) => write!(f, "with the serial number `{serial}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_does_not_show_in_debug_output() {
        let config = Pkcs11Config::new(
            "/m.so",
            TokenSelector::Label("t".to_owned()),
            Zeroizing::new("918273".to_owned()),
        );
        let shown = format!("{config:?}");
        assert!(shown.contains("(hidden)") && !shown.contains("918273"), "{shown}");
    }
}
