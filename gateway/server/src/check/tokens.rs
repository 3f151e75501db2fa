//! Whether the HSM's tokens can be used: module, token and PIN, each token by itself.

use std::sync::Arc;

use chancery_keys::KeyName;
use chancery_keys::pkcs11::{OpenError, Pkcs11Config, Pkcs11Signer};

use super::Findings;
use crate::config::{Config, Settings};
use crate::foundation::hsm_config;

/// The tokens that can be used.
pub(super) struct Tokens(Vec<Arc<Pkcs11Signer>>);

impl Tokens {
    /// One that has this key.
    pub(super) fn with(&self, key: &KeyName) -> Option<&Arc<Pkcs11Signer>> {
        self.0.iter().find(|token| token.contains(key))
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) async fn close(self) {
        for token in self.0 {
            let closed = tokio::task::spawn_blocking(move || token.shutdown()).await;
            if !matches!(closed, Ok(true)) {
                tracing::warn!("a call into the PKCS#11 module hangs");
            }
        }
    }
}

/// Logs in to each of them, with the caution that `chancery check --help` promises.
pub(super) async fn look(config: &Config, found: &mut Findings<'_>) -> Tokens {
    let (mut usable, settings) = (vec![], &config.settings);
    let Some(all) = hsm_config(config) else { return Tokens(usable) };
    // Where it is on record that a token has refused the PIN.
    if !config.server.directory.is_dir() {
        found.note(
            "pkcs11: the PIN is not tried before there is server.directory, in which a start remembers that a token \
             has refused it",
        );
        return Tokens(usable);
    }
    for token in all.tokens.clone() {
        let name = token.token.to_string();
        // Modules are opened one after the other: the use of one is the whole process's.
        let config = Pkcs11Config {
            tokens: vec![token],
            sessions: 1,
            cautious: true,
            patience: std::time::Duration::ZERO,
            ..all.clone()
        };
        let opened = tokio::task::spawn_blocking(move || Pkcs11Signer::open(config)).await;
        match opened {
            Ok(Ok(signer)) => usable.push(Arc::new(signer)),
            Ok(Err(error)) => {
                found.fault(setting(&error, settings), format!("the token {name}: {error}"));
            }
            Err(error) => found.fault("pkcs11.module", format!("the token {name}: {error}")),
        }
    }
    Tokens(usable)
}

fn setting(error: &OpenError, settings: &Settings) -> &'static str {
    match error {
        _ if settings.is_set("pkcs11", "uris") => "pkcs11.uris",
        OpenError::Pin(_) if settings.is_set("pkcs11", "pin_env") => "pkcs11.pin_env",
        OpenError::NoSuchToken { .. } | OpenError::AmbiguousToken { .. } => "pkcs11.token",
        OpenError::Pin(_) | OpenError::PinLockedOut { .. } | OpenError::LoginUnclear { .. } => {
            "pkcs11.pin_file"
        }
        OpenError::TooFewSessions { .. } => "pkcs11.sessions",
        _ => "pkcs11.module",
    }
}
