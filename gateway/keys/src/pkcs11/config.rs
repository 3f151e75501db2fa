//! The settings of PKCS#11 tokens.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::pkcs11::{Stop, TokenSelector};

/// Which tokens hold the keys, and how they are used.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The tokens: at least 1. If several of them hold a key under the same name, the one with the least to do is
    /// used, and another one if that fails.
    pub tokens: Vec<TokenConfig>,
    /// Worker sessions of each token, each with its own thread: at least 1, and no more than the token
    /// admits beside the two that are kept for the login and for administration.
    pub sessions: usize,
    /// Operations that may wait for a session; one more is refused as busy.
    pub queue: usize,
    /// How long a caller waits for an operation, queueing included.
    pub deadline: Duration,
    /// How long a session may be unused until it is asked something. That keeps it alive and shows whether the
    /// token is still there.
    pub idle: Duration,
    /// Sign with a copy of the key that lives as long as the session, where the token admits it.
    /// Worth it for tokens that load the key from disk for each signature, as SoftHSM does.
    pub session_copies: bool,
    /// Let a signature out only if it verifies against the public key. A fault while signing can betray
    /// the private key, and a wrong signature on a certificate is worse than none: switch it off only to
    /// measure what it costs.
    pub verify: bool,
    /// Directory that counts PIN tries that no token accepted, so that the next process makes no further try.
    /// With none, the count lasts for this process only.
    pub pin_lockouts: Option<PathBuf>,
    /// How long no other try is made after a login that failed without saying that the PIN is wrong.
    pub login_pause: Duration,
    /// Do not try a PIN if the token shows that it has counted a wrong one since the last login. This is for
    /// tools that only check whether all is in order, and may check often.
    pub cautious: bool,
    /// How long opening waits for a token that is not there yet. If there are several tokens, one is enough to
    /// begin.
    pub patience: Duration,
    /// Ends that wait early: opening then fails with [`OpenError::Stopped`](super::OpenError), and leaves no
    /// thread, no session and no initialised module.
    pub stop: Stop,
}

/// How to reach a token.
#[derive(Clone)]
pub struct TokenConfig {
    /// The vendor's PKCS#11 library.
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenSelector,
    /// The user PIN. After a refusal it is never tried again, since a retry would lock a real HSM.
    pub pin: Zeroizing<String>,
}

impl Pkcs11Config {
    /// The usual settings for these tokens: 4 sessions each, 256 waiting operations, 5 seconds,
    /// sessions checked after 10 seconds without use, no session copies, every signature verified, 5 seconds
    /// after an unclear login, no waiting for tokens.
    pub fn new(tokens: Vec<TokenConfig>) -> Self {
        Self {
            tokens,
            sessions: 4,
            queue: 256,
            deadline: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            session_copies: false,
            verify: true,
            pin_lockouts: None,
            login_pause: Duration::from_secs(5),
            cautious: false,
            patience: Duration::ZERO,
            stop: Stop::default(),
        }
    }
}

impl TokenConfig {
    /// A token of a module, with the PIN of its user.
    pub fn new(module: impl Into<PathBuf>, token: TokenSelector, pin: Zeroizing<String>) -> Self {
        Self { module: module.into(), token, pin }
    }
}

impl std::fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenConfig")
            .field("module", &self.module)
            .field("token", &self.token)
            .field("pin", &"(hidden)")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_does_not_show_in_debug_output() {
        let token = TokenConfig::new(
            "/m.so",
            TokenSelector::Label("t".to_owned()),
            Zeroizing::new("918273".to_owned()),
        );
        let shown = format!("{:?}", Pkcs11Config::new(vec![token]));
        assert!(shown.contains("(hidden)") && !shown.contains("918273"), "{shown}");
    }
}
