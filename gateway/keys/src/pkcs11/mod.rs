//! Keys in tokens (HSMs) behind PKCS#11 modules.
//!
//! A [`Pkcs11Signer`] logs in once and keeps sessions, each on a thread of its own and each
//! remembering the handles of the keys it has used; a bounded queue for each token feeds them. No
//! operation opens a session, logs in or searches, unless something broke. Every signature is verified
//! against the public key before it leaves.
//!
//! A key is known by its label, which must be a [`KeyName`], and found by its `CKA_ID`, which no other key may have.
//!
//! Failures are repaired: a failed session is opened again, with fresh handles; if the device was away, all of its
//! sessions are. A token that does not come back within the operation is down: operations are refused at once, or done
//! by another token that holds the key. Meanwhile a thread tries to reach the token, initialises the module anew if
//! needed, and reads its keys again. A PIN that was refused is never tried again.

mod administration;
mod code;
mod config;
mod encryption;
mod error;
mod fault;
mod import;
mod locks;
mod objects;
mod operations;
mod pool;
mod selector;
mod stop;
mod token;
mod token_info;
mod token_metrics;

pub use config::{Pkcs11Config, TokenConfig};
pub use error::{DestroyError, GenerateError, OpenError, PinRefused};
pub use import::Brought;
pub use objects::inspection::{InspectError, TokenKey};
pub use objects::usage::Usage;
pub use selector::{TokenAttributes, TokenSelector};
pub use stop::Stop;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chancery_x509::{PublicKey, SignatureAlgorithm};
use tracing::Instrument as _;

use crate::{BoxFuture, KeyName, SignError, Signer};
use locks::lock_until;
use operations::Operation;
use pool::{TokenPool, dispatch, recovery};
use token::Token;
use token::login::Login;
use token::module::Module;
use token::pin_lockout::{PinLockout, Tries};

/// The least time that a shutdown gives the sessions, whatever the deadline of operations.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A [`Signer`] whose keys are in tokens and stay there.
pub struct Pkcs11Signer {
    pools: Vec<Arc<TokenPool>>,
    /// Held while a key is made, so that no name is used twice. False after shutdown.
    admin: Arc<Mutex<bool>>,
    deadline: Duration,
    grace: Duration,
}

/// The state of a token, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenStatus {
    /// Its label or serial number, as configured; if both are configured, both with a colon between them.
    pub token: String,
    /// Why it cannot be used; none if it can.
    pub trouble: Option<String>,
    /// Whether it was taken out of use by [`Pkcs11Signer::drain`].
    pub drained: bool,
    /// How many keys it holds that can be used by name.
    pub keys: usize,
    /// Operations that are under way or wait.
    pub outstanding: usize,
}

impl Pkcs11Signer {
    /// Loads the modules, finds the tokens, logs in (one attempt each), reads the list of keys and starts the sessions.
    /// If there are several tokens, one usable token is enough; the others are used as soon as possible. Blocks, and
    /// waits for a token if the configuration says so: call it at the start or on a blocking thread.
    ///
    /// # Errors
    /// See [`OpenError`]. After a refused PIN do not simply try again.
    #[expect(clippy::needless_pass_by_value, reason = "the PINs in it are wiped on return")]
    pub fn open(config: Pkcs11Config) -> Result<Self, OpenError> {
        let counts = [
            ("tokens", config.tokens.len()),
            ("sessions", config.sessions),
            ("queue", config.queue),
        ];
        if let Some((setting, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return Err(OpenError::Zero { setting });
        }
        let mut modules: HashMap<&Path, Arc<Module>> = HashMap::new();
        let mut pools = Vec::new();
        for token in &config.tokens {
            let module = match modules.get(token.module.as_path()) {
                Some(module) => Arc::clone(module),
                None => Module::load(&token.module)?,
            };
            modules.insert(&token.module, Arc::clone(&module));
            module.expect_library(&token.token)?;
            let lockout = PinLockout::new(config.pin_lockouts.as_deref(), &token.token);
            if let (Tries::Enough, Some(file)) = (lockout.tries(), lockout.file()) {
                return Err(OpenError::PinLockedOut { file: file.to_owned() });
            }
            let login = Login::new(&token.pin, lockout, config.login_pause, config.cautious);
            let token = Token::new(&module, token.token.clone(), login);
            pools.push(Arc::new(TokenPool::new(token, &config)));
        }
        // There are threads from here on. If anything fails, dropping the signer shuts them down.
        let signer = Self {
            pools,
            admin: Arc::new(Mutex::new(true)),
            deadline: config.deadline,
            grace: config.deadline.max(SHUTDOWN_GRACE),
        };
        recovery::first(&signer.pools, config.patience, &config.stop)?;
        for pool in &signer.pools {
            recovery::start(pool).map_err(OpenError::Thread)?;
        }
        Ok(signer)
    }

    /// Whether a token holds a key of this name. Answers from memory.
    pub fn contains(&self, name: &KeyName) -> bool {
        self.pools.iter().any(|pool| pool.keys.contains(name))
    }

    /// The state of the tokens. Answers from memory.
    pub fn status(&self) -> Vec<TokenStatus> {
        let status = |pool: &Arc<TokenPool>| TokenStatus {
            token: pool.token.selector().value().to_owned(),
            trouble: pool.health.trouble(),
            drained: pool.is_drained(),
            keys: pool.keys.len(),
            outstanding: pool.outstanding(),
        };
        self.pools.iter().map(status).collect()
    }

    /// Takes a token out of use for maintenance, or back into use: the one with this [name](TokenStatus::token), or the
    /// only one with this label or serial number. It finishes what it has begun, and is done when nothing is
    /// [outstanding](TokenStatus::outstanding). The next process does not remember this.
    ///
    /// Returns whether there is such a token.
    pub fn drain(&self, token: &str, drained: bool) -> bool {
        let mut called = self
            .pools
            .iter()
            .filter(|pool| pool.token.selector().is_called(token))
            .collect::<Vec<_>>();
        if called.len() > 1 {
            called.retain(|pool| pool.token.selector().value() == token);
        }
        let pool = called.pop();
        if let Some(pool) = pool {
            tracing::info!(token, drained, "a token is taken out of use, or back into it");
            pool.drain(drained);
        }
        pool.is_some()
    }

    /// Finishes the queue, closes the sessions and ends the use of the module. Call it before the process ends, off the
    /// async workers: it blocks for as long as an operation may take. Dropping the signer does the same.
    ///
    /// If a call into a module does not return in that time, it is left alone, and the module is not finalised:
    /// `C_Finalize` while another thread is in a call is undefined (PKCS#11 v3.0 §5.4), and nothing can interrupt a
    /// call from outside. End the process then without running destructors of libraries, as `_exit` does: some modules
    /// crash in their destructors while they are in use.
    ///
    /// Returns false if a call hangs.
    #[must_use = "a process ends otherwise while a call hangs"]
    pub fn shutdown(&self) -> bool {
        for pool in &self.pools {
            pool.close();
        }
        let until = Instant::now() + self.grace;
        let admin = lock_until(&self.admin, until).map(|mut open| *open = false);
        // Wait for every pool, whatever the others do.
        let hanging = self.pools.iter().filter(|pool| {
            !(pool.threads.join(until) && pool.token.sessions.quiesce(until).is_some())
        });
        let quiet = hanging.count() == 0 && admin.is_some();
        if quiet {
            // Only now, since tokens of one module share its use.
            self.pools.iter().for_each(|pool| pool.token.module().end());
        } else {
            tracing::warn!("a call into the PKCS#11 module hangs; leaving the module as it is");
        }
        quiet
    }
}

impl Signer for Pkcs11Signer {
    fn sign<'a>(
        &'a self,
        key: &'a KeyName,
        algorithm: SignatureAlgorithm,
        message: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async move {
            let since = Instant::now();
            let span = tracing::debug_span!("keys.sign", %key, backend = self.kind());
            let result = self.sign_with(key, algorithm, message).instrument(span).await;
            crate::metrics::signed(self.kind(), since, &result);
            result
        })
    }

    fn public_key(&self, key: &KeyName) -> Result<PublicKey, SignError> {
        let mut unknown = SignError::UnknownKey { key: key.clone() };
        let mut known: Option<PublicKey> = None;
        for pool in &self.pools {
            match (pool.keys.pair(key), &known) {
                (Ok(found), Some(known)) if found.public != *known => {
                    return Err(SignError::Ambiguous { key: key.clone() });
                }
                (Ok(found), _) => known = Some(found.public.clone()),
                (Err(error @ SignError::Ambiguous { .. }), _) => return Err(error),
                (Err(SignError::UnknownKey { .. }), _) => {}
                (Err(error), _) => unknown = error,
            }
        }
        known.ok_or_else(|| dispatch::unless_away(&self.pools, unknown))
    }

    fn kind(&self) -> &'static str {
        "pkcs11"
    }
}

impl Pkcs11Signer {
    async fn sign_with(
        &self,
        name: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        self.expect_one_key(name)?;
        let sign = |pool: &TokenPool| {
            let key = pool.keys.signing(name)?;
            if !algorithm.fits(key.public.algorithm()) {
                return Err(SignError::Unsupported { key: name.clone(), algorithm });
            }
            Ok(Operation::Sign { key, algorithm, message: message.to_vec() })
        };
        match dispatch::operate(&self.pools, self.deadline, sign).await? {
            Ok(mut signature) => Ok(std::mem::take(&mut *signature)),
            Err(fault) => Err(fault.for_key(name)),
        }
    }
}

impl Pkcs11Signer {
    /// If one name stands for different keys in two tokens, it is unclear which is meant.
    fn expect_one_key(&self, name: &KeyName) -> Result<(), SignError> {
        if self.pools.len() > 1 { self.public_key(name).map(drop) } else { Ok(()) }
    }
}

impl Drop for Pkcs11Signer {
    fn drop(&mut self) {
        let _ = self.shutdown();
    }
}

impl std::fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pkcs11Signer").field("tokens", &self.status()).finish_non_exhaustive()
    }
}
