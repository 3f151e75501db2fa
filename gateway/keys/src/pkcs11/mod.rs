//! Keys in a token (an HSM) behind a PKCS#11 module.
//!
//! A [`Pkcs11Signer`] logs in once and keeps a pool of sessions, each on a thread of its own and each
//! remembering the handles of the keys it has used; a bounded queue feeds them. No operation opens a
//! session, logs in or searches, unless something broke. Every signature is verified against the
//! public key before it leaves.
//!
//! Keys are known by their label, which must be a [`KeyName`], and found by their `CKA_ID`, which must
//! be theirs alone.

mod config;
mod directory;
mod error;
mod fault;
mod generate;
mod pool;
mod public_key;
mod sign;
mod token;
mod worker;
mod wrap;

pub use config::{Pkcs11Config, TokenSelector};
pub use error::{GenerateError, OpenError, PinRefused, WrapError};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chancery_x509::{PublicKey, SignatureAlgorithm};
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::{BoxFuture, KeyName, KeyType, SignError, Signer, metrics};
use directory::{Directory, Entry};
use fault::Fault;
use pool::{Operation, Pool};
use token::Token;

/// Sessions beside the workers': the one that keeps the login, and one for administration.
const OTHER_SESSIONS: u64 = 2;

/// What a shutdown gives the sessions at least, whatever the deadline of operations.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A [`Signer`] whose keys are in a token and stay there.
pub struct Pkcs11Signer {
    pool: Pool,
    keys: Arc<Directory>,
    /// None after shutdown. Held while a key is made, so that no name is given twice.
    admin: Arc<Mutex<Option<Arc<Token>>>>,
    grace: Duration,
}

impl Pkcs11Signer {
    /// Loads the module, finds the token, logs in (one attempt), reads which keys there are and
    /// starts the sessions. Blocks: call it at start or on a blocking thread.
    ///
    /// # Errors
    /// See [`OpenError`]. After a refused PIN do not simply try again.
    #[expect(clippy::needless_pass_by_value, reason = "the PIN in it is wiped on return")]
    pub fn open(config: Pkcs11Config) -> Result<Self, OpenError> {
        for (setting, value) in [("sessions", config.sessions), ("queue", config.queue)] {
            if value == 0 {
                return Err(OpenError::Zero { setting });
            }
        }
        let token = Arc::new(Token::open(&config.module, config.token.clone(), &config.pin)?);
        let sessions = affordable(config.sessions, token.session_limit()?)?;
        let failed = |reason: &dyn std::fmt::Display| OpenError::Token {
            doing: "reading the keys",
            reason: reason.to_string(),
        };
        let reading = token.open_session().map_err(|fault| failed(&fault))?;
        let keys = Directory::read(&reading).map_err(|error| failed(&error))?;
        drop(reading);
        let pool = Pool::start(&token, sessions, &config)?;
        tracing::info!(token = %config.token, sessions, keys = keys.len(), "the token is open");
        Ok(Self {
            pool,
            keys: Arc::new(keys),
            admin: Arc::new(Mutex::new(Some(token))),
            grace: config.deadline.max(SHUTDOWN_GRACE),
        })
    }

    /// Whether the token holds a key of this name. Answers from memory.
    pub fn contains(&self, name: &KeyName) -> bool {
        self.keys.contains(name)
    }

    /// Makes a key pair in the token, with the name as its label and a random `CKA_ID`. The private
    /// half is sensitive and not extractable. RSA may take many seconds on a real HSM.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn generate(
        &self,
        name: &KeyName,
        key_type: KeyType,
    ) -> Result<PublicKey, GenerateError> {
        let wanted = name.clone();
        let make = move |session: &_| {
            let key = generate::key_pair(session, &wanted, key_type)?;
            let public = key.public.clone();
            Ok((Entry::Signing(Arc::new(key)), public))
        };
        self.administer(name, key_type.as_str(), make).await
    }

    /// Makes an AES-256 key in the token for [`wrap`](Self::wrap) and [`unwrap`](Self::unwrap).
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub async fn generate_wrapping_key(&self, name: &KeyName) -> Result<(), GenerateError> {
        let wanted = name.clone();
        let make = move |session: &_| {
            let key = generate::wrapping_key(session, &wanted)?;
            Ok((Entry::Wrapping(Arc::new(key)), ()))
        };
        self.administer(name, "aes-256", make).await
    }

    /// Encrypts a short secret with a key in the token (AES-256-GCM, a random 96-bit nonce). It opens
    /// only with the same `aad`, which says what the secret is for.
    ///
    /// # Errors
    /// See [`WrapError`].
    pub async fn wrap(
        &self,
        name: &KeyName,
        plaintext: Zeroizing<Vec<u8>>,
        aad: &[u8],
    ) -> Result<Vec<u8>, WrapError> {
        let key = self.keys.wrapping(name)?;
        let operation = Operation::Wrap { key, plaintext, aad: aad.to_vec() };
        match self.pool.submit(operation).await? {
            Ok(mut wrapped) => Ok(std::mem::take(&mut *wrapped)),
            Err(fault) => Err(fault.for_key(name).into()),
        }
    }

    /// Decrypts what [`wrap`](Self::wrap) made with the same key and `aad`.
    ///
    /// # Errors
    /// See [`WrapError`].
    pub async fn unwrap(
        &self,
        name: &KeyName,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if !wrap::is_well_formed(wrapped) {
            return Err(WrapError::Malformed);
        }
        let key = self.keys.wrapping(name)?;
        let operation = Operation::Unwrap { key, wrapped: wrapped.to_vec(), aad: aad.to_vec() };
        self.pool.submit(operation).await?.map_err(|fault| match fault {
            Fault::NotAuthentic => WrapError::Refused { key: name.clone() },
            other => other.for_key(name).into(),
        })
    }

    /// Lets what is queued finish, closes the sessions and ends the use of the module. Call it before
    /// the process ends, off the async workers: it blocks, for as long as an operation may take.
    /// Dropping the signer does the same.
    pub fn shutdown(&self) {
        if !self.pool.shut_down(self.grace) {
            tracing::warn!("a call into the PKCS#11 module hangs; leaving the module as it is");
        }
        // Ends the use of the module, unless a hanging worker still holds the token.
        drop(self.admin.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Makes a key in a session of its own, on a blocking thread.
    async fn administer<T: Send + 'static>(
        &self,
        name: &KeyName,
        what: &'static str,
        make: impl FnOnce(&cryptoki::session::Session) -> Result<(Entry, T), GenerateError>
        + Send
        + 'static,
    ) -> Result<T, GenerateError> {
        let (admin, keys, key) = (Arc::clone(&self.admin), Arc::clone(&self.keys), name.clone());
        let making = tokio::task::spawn_blocking(move || {
            let token = admin.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(token) = token.as_ref() else {
                return Err(GenerateError::token(&key, what, &"the signer is shut down"));
            };
            if keys.contains(&key) {
                return Err(GenerateError::Exists { key });
            }
            let session = token
                .open_admin_session()
                .map_err(|fault| GenerateError::token(&key, what, &fault))?;
            let (entry, made) = make(&session)?;
            tracing::info!(%key, what, "generated a key in the token");
            keys.insert(key, entry);
            Ok(made)
        });
        making.await.unwrap_or_else(|error| Err(GenerateError::token(name, what, &error)))
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
            metrics::signed(self.kind(), since, &result);
            result
        })
    }

    fn public_key(&self, key: &KeyName) -> Result<PublicKey, SignError> {
        Ok(self.keys.signing(key)?.public.clone())
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
        let key = self.keys.signing(name)?;
        if !algorithm.fits(key.public.algorithm()) {
            return Err(SignError::Unsupported { key: name.clone(), algorithm });
        }
        let operation = Operation::Sign { key, algorithm, message: message.to_vec() };
        match self.pool.submit(operation).await? {
            Ok(mut signature) => Ok(std::mem::take(&mut *signature)),
            Err(fault) => Err(fault.for_key(name)),
        }
    }
}

impl Drop for Pkcs11Signer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pkcs11Signer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

fn affordable(wanted: usize, limit: Option<u64>) -> Result<usize, OpenError> {
    let Some(limit) = limit else { return Ok(wanted) };
    let room = limit.saturating_sub(OTHER_SESSIONS);
    if room == 0 {
        return Err(OpenError::TooFewSessions { limit });
    }
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            wanted,
            admitted = room,
            "fewer sessions than configured: the token's limit"
        );
    }
    Ok(wanted.min(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_room_for_login_and_administration() {
        assert_eq!(affordable(4, None).unwrap(), 4);
        assert_eq!(affordable(4, Some(16)).unwrap(), 4);
        assert_eq!(affordable(20, Some(16)).unwrap(), 14);
        assert!(matches!(affordable(1, Some(2)), Err(OpenError::TooFewSessions { limit: 2 })));
    }
}
