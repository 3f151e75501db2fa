//! Keys in this process's memory (aws-lc): for development, and for installations whose keys are
//! sealed in the store.

mod error;
mod generate;
mod mac;
mod oaep;
mod sign;
#[cfg(test)]
mod tests;
mod wrap;

pub use error::{GenerateError, InsertError};
pub use generate::{generate, generate_secret};
pub(crate) use oaep::wrap_with;
pub use oaep::{OaepError, OaepHash, UnknownHash, encrypt, wrap_key};
pub use wrap::AES_KEY_BYTES;
pub(crate) use wrap::{open, seal};

use std::sync::Arc;
use std::time::Instant;

use chancery_x509::{PublicKey, SignatureAlgorithm};
pub use chancery_x509::{Sha2, UnknownSha2};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::{BoxFuture, KeyName, SignError, Signer, WrapError, metrics, wrapped};
use mac::MacKey;
use oaep::DecryptingKey;
use sign::{PrivateKey, Refusal};
use wrap::WrappingKey;

/// A [`Signer`] whose keys are in memory. Keys come and go while it signs. As a token does, it holds
/// keys that wrap too, and what only software does here: keys that decrypt, and keys of message
/// authentication codes.
#[derive(Default)]
pub struct SoftwareSigner {
    keys: DashMap<KeyName, SoftwareKey>,
}

#[derive(Clone)]
enum SoftwareKey {
    Pair(Arc<Pair>),
    Wrapping(Arc<WrappingKey>),
    Mac(Arc<MacKey>),
}

struct Pair {
    private: PrivateKey,
    public: PublicKey,
    /// Of RSA keys.
    decrypting: Option<DecryptingKey>,
}

impl SoftwareSigner {
    /// A signer without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in an unencrypted PKCS#8 key (RFC 5958) under this name and gives its public half.
    /// The same key again under the same name changes nothing.
    ///
    /// # Errors
    /// See [`InsertError`]; a different key of that name stays.
    pub fn insert_pkcs8(
        &self,
        name: KeyName,
        pkcs8: Zeroizing<Vec<u8>>,
    ) -> Result<PublicKey, InsertError> {
        let malformed = || InsertError::Malformed { name: name.clone() };
        let private = PrivateKey::from_pkcs8(&pkcs8).ok_or_else(malformed)?;
        let decrypting = DecryptingKey::from_pkcs8(&pkcs8);
        drop(pkcs8);
        let spki = private.public_spki().map_err(|_| malformed())?;
        let public = PublicKey::from_spki_der(&spki).map_err(|_| malformed())?;
        public
            .check_strength()
            .map_err(|weak| InsertError::Weak { name: name.clone(), reason: weak.to_string() })?;
        match self.keys.entry(name) {
            Entry::Occupied(held) => match held.get() {
                SoftwareKey::Pair(pair) if pair.public == public => {}
                _ => return Err(InsertError::Exists { name: held.key().clone() }),
            },
            Entry::Vacant(free) => {
                let pair = Pair { private, public: public.clone(), decrypting };
                free.insert(SoftwareKey::Pair(Arc::new(pair)));
            }
        }
        Ok(public)
    }

    /// Takes in an AES-256 key for [`wrap`](Self::wrap) and [`unwrap`](Self::unwrap), in place of what had
    /// the name.
    ///
    /// # Errors
    /// [`InsertError::Malformed`] unless it has [`AES_KEY_BYTES`] bytes.
    pub fn insert_wrapping_key(
        &self,
        name: KeyName,
        key: &Zeroizing<Vec<u8>>,
    ) -> Result<(), InsertError> {
        let key = <&[u8; AES_KEY_BYTES]>::try_from(key.as_slice())
            .ok()
            .and_then(|key| WrappingKey::new(key).ok())
            .ok_or_else(|| InsertError::Malformed { name: name.clone() })?;
        self.keys.insert(name, SoftwareKey::Wrapping(Arc::new(key)));
        Ok(())
    }

    /// Takes in a key of any length for [`mac`](Self::mac), in place of what had the name.
    pub fn insert_mac_key(&self, name: KeyName, key: Zeroizing<Vec<u8>>) {
        self.keys.insert(name, SoftwareKey::Mac(Arc::new(MacKey(key))));
    }

    /// Encrypts with AES-256-GCM under a random 96-bit nonce, as a token does: what either made, the other
    /// opens with the same key and `aad`.
    ///
    /// # Errors
    /// There is no such key that wraps.
    pub fn wrap(&self, name: &KeyName, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, WrapError> {
        let key = self.wrapping(name)?;
        key.wrap(plaintext, aad).map_err(|_| WrapError::Key(no_result(name)))
    }

    /// Decrypts what [`wrap`](Self::wrap) made.
    ///
    /// # Errors
    /// See [`WrapError`].
    pub fn unwrap(
        &self,
        name: &KeyName,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let key = self.wrapping(name)?;
        let (nonce, sealed) = wrapped::parts(wrapped).ok_or(WrapError::Malformed)?;
        key.unwrap(nonce, sealed, aad).map_err(|_| WrapError::Refused { key: name.clone() })
    }

    /// The message authentication code of `message`.
    ///
    /// # Errors
    /// There is no such key for it.
    pub fn mac(&self, name: &KeyName, hash: Sha2, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.mac_key(name)?.mac(hash, message))
    }

    /// Whether `mac` is the one of `message`; found out in constant time.
    ///
    /// # Errors
    /// There is no such key for it.
    pub fn verify_mac(
        &self,
        name: &KeyName,
        hash: Sha2,
        message: &[u8],
        mac: &[u8],
    ) -> Result<bool, SignError> {
        Ok(self.mac_key(name)?.verify(hash, message, mac))
    }

    /// Decrypts what was [encrypted](encrypt) to the RSA key of this name. Takes milliseconds: not for an
    /// async worker.
    ///
    /// # Errors
    /// See [`OaepError`].
    pub fn decrypt(
        &self,
        name: &KeyName,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OaepError> {
        let pair = self.pair(name).map_err(|_| OaepError::NoRsaKey)?;
        pair.decrypting.as_ref().ok_or(OaepError::NoRsaKey)?.decrypt(hash, ciphertext)
    }

    /// Takes a key out that was [wrapped](wrap_key) to the RSA key of this name. Takes milliseconds: not
    /// for an async worker.
    ///
    /// # Errors
    /// See [`OaepError`].
    pub fn unwrap_key(
        &self,
        name: &KeyName,
        hash: OaepHash,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OaepError> {
        let pair = self.pair(name).map_err(|_| OaepError::NoRsaKey)?;
        pair.decrypting.as_ref().ok_or(OaepError::NoRsaKey)?.unwrap_key(hash, wrapped)
    }

    /// Forgets a key; whether there was one. Signatures that are being made still finish.
    pub fn remove(&self, name: &KeyName) -> bool {
        self.keys.remove(name).is_some()
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, name: &KeyName) -> bool {
        self.keys.contains_key(name)
    }

    fn find<T>(
        &self,
        name: &KeyName,
        fits: impl FnOnce(&SoftwareKey) -> Option<T>,
    ) -> Result<T, SignError> {
        let found = self.keys.get(name).and_then(|entry| fits(entry.value()));
        found.ok_or_else(|| SignError::UnknownKey { key: name.clone() })
    }

    fn pair(&self, name: &KeyName) -> Result<Arc<Pair>, SignError> {
        self.find(name, |key| match key {
            SoftwareKey::Pair(pair) => Some(Arc::clone(pair)),
            SoftwareKey::Wrapping(_) | SoftwareKey::Mac(_) => None,
        })
    }

    fn wrapping(&self, name: &KeyName) -> Result<Arc<WrappingKey>, SignError> {
        self.find(name, |key| match key {
            SoftwareKey::Wrapping(key) => Some(Arc::clone(key)),
            SoftwareKey::Pair(_) | SoftwareKey::Mac(_) => None,
        })
    }

    fn mac_key(&self, name: &KeyName) -> Result<Arc<MacKey>, SignError> {
        self.find(name, |key| match key {
            SoftwareKey::Mac(key) => Some(Arc::clone(key)),
            SoftwareKey::Pair(_) | SoftwareKey::Wrapping(_) => None,
        })
    }

    /// Signs on this thread, which takes up to several milliseconds with a large key.
    ///
    /// # Errors
    /// There is no such key, or it does not sign with this algorithm.
    pub fn sign_here(
        &self,
        name: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let since = Instant::now();
        let signed = self.pair(name).and_then(|key| signed(name, &key, algorithm, message));
        metrics::signed(self.kind(), since, &signed);
        signed
    }

    async fn sign_with(
        &self,
        name: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let key = self.pair(name)?;
        if !key.private.is_slow() {
            return signed(name, &key, algorithm, message);
        }
        let (shared, message) = (name.clone(), message.to_vec());
        let signing =
            tokio::task::spawn_blocking(move || signed(&shared, &key, algorithm, &message));
        signing.await.map_err(|_| no_result(name))?
    }
}

fn signed(
    name: &KeyName,
    key: &Pair,
    algorithm: SignatureAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, SignError> {
    key.private.sign(algorithm, message).map_err(|refusal| match refusal {
        Refusal::Unsupported => SignError::Unsupported { key: name.clone(), algorithm },
        Refusal::Failed => no_result(name),
    })
}

impl Signer for SoftwareSigner {
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
        Ok(self.pair(key)?.public.clone())
    }

    fn kind(&self) -> &'static str {
        "software"
    }
}

fn no_result(key: &KeyName) -> SignError {
    let reason = "the cryptographic library gave no result".to_owned();
    SignError::Failed { key: key.clone(), reason }
}

impl std::fmt::Debug for SoftwareSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareSigner").field("keys", &self.keys.len()).finish()
    }
}
