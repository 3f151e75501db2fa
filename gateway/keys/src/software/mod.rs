//! Keys in this process's memory (aws-lc): for development, and for installations whose keys are
//! sealed in the store.

mod error;
mod generate;
mod mac;
mod oaep;
mod sign;
mod wrap;

pub use error::{GenerateError, InsertError};
pub use generate::{generate, generate_secret};
pub use mac::{MacHash, UnknownMacHash};
pub use oaep::{OaepError, OaepHash, UnknownHash, encrypt, wrap_key};
pub use wrap::AES_KEY_BYTES;

use std::sync::Arc;
use std::time::Instant;

use chancery_x509::{PublicKey, SignatureAlgorithm};
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
    pub fn mac(&self, name: &KeyName, hash: MacHash, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.mac_key(name)?.mac(hash, message))
    }

    /// Whether `mac` is the one of `message`; found out in constant time.
    ///
    /// # Errors
    /// There is no such key for it.
    pub fn verify_mac(
        &self,
        name: &KeyName,
        hash: MacHash,
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

    async fn sign_with(
        &self,
        name: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let key = self.pair(name)?;
        key.private.sign(algorithm, message).await.map_err(|refusal| match refusal {
            Refusal::Unsupported => SignError::Unsupported { key: name.clone(), algorithm },
            Refusal::Failed => no_result(name),
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyType;

    fn name(text: &str) -> KeyName {
        text.parse().unwrap()
    }

    fn algorithms(key_type: KeyType) -> &'static [SignatureAlgorithm] {
        use SignatureAlgorithm as A;
        match key_type {
            KeyType::EcdsaP256 => &[A::EcdsaP256Sha256],
            KeyType::EcdsaP384 => &[A::EcdsaP384Sha384],
            KeyType::EcdsaP521 => &[A::EcdsaP521Sha512],
            KeyType::Ed25519 => &[A::Ed25519],
            KeyType::MlDsa44 => &[A::MlDsa44],
            KeyType::MlDsa65 => &[A::MlDsa65],
            KeyType::MlDsa87 => &[A::MlDsa87],
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                &[A::RsaPkcs1Sha256, A::RsaPkcs1Sha384, A::RsaPkcs1Sha512, A::RsaPssSha256]
            }
        }
    }

    async fn signs_and_verifies(key_type: KeyType) {
        let (signer, key) = (SoftwareSigner::new(), name("k"));
        let public = signer.insert_pkcs8(key.clone(), generate(key_type).unwrap()).unwrap();
        assert_eq!(signer.public_key(&key).unwrap(), public);
        for algorithm in algorithms(key_type) {
            let signature = signer.sign(&key, *algorithm, b"message").await.unwrap();
            public.verify(*algorithm, b"message", &signature).unwrap();
            assert!(public.verify(*algorithm, b"another", &signature).is_err());
        }
        let foreign = match key_type {
            KeyType::Ed25519 => SignatureAlgorithm::EcdsaP256Sha256,
            _ => SignatureAlgorithm::Ed25519,
        };
        assert_eq!(
            signer.sign(&key, foreign, b"message").await,
            Err(SignError::Unsupported { key, algorithm: foreign })
        );
    }

    #[tokio::test]
    async fn ecdsa_p256() {
        signs_and_verifies(KeyType::EcdsaP256).await;
    }

    #[tokio::test]
    async fn ecdsa_p384() {
        signs_and_verifies(KeyType::EcdsaP384).await;
        signs_and_verifies(KeyType::EcdsaP521).await;
    }

    #[tokio::test]
    async fn ed25519() {
        signs_and_verifies(KeyType::Ed25519).await;
    }

    #[tokio::test]
    async fn ml_dsa() {
        signs_and_verifies(KeyType::MlDsa44).await;
        signs_and_verifies(KeyType::MlDsa65).await;
        signs_and_verifies(KeyType::MlDsa87).await;
    }

    #[tokio::test]
    async fn rsa() {
        signs_and_verifies(KeyType::Rsa2048).await;
        signs_and_verifies(KeyType::Rsa3072).await;
    }

    #[tokio::test]
    async fn a_removed_key_is_unknown() {
        let (signer, key) = (SoftwareSigner::new(), name("root"));
        signer.insert_pkcs8(key.clone(), generate(KeyType::Ed25519).unwrap()).unwrap();
        assert!(signer.contains(&key));
        assert!(signer.remove(&key));
        assert!(!signer.remove(&key));
        assert_eq!(
            signer.sign(&key, SignatureAlgorithm::Ed25519, b"m").await,
            Err(SignError::UnknownKey { key })
        );
    }

    #[test]
    fn a_name_keeps_its_key() {
        let (signer, key) = (SoftwareSigner::new(), name("k"));
        let first = generate(KeyType::EcdsaP256).unwrap();
        let public = signer.insert_pkcs8(key.clone(), first.clone()).unwrap();
        assert_eq!(signer.insert_pkcs8(key.clone(), first), Ok(public.clone()));
        let second = generate(KeyType::EcdsaP256).unwrap();
        assert_eq!(
            signer.insert_pkcs8(key.clone(), second),
            Err(InsertError::Exists { name: key.clone() })
        );
        assert_eq!(signer.public_key(&key), Ok(public));
    }

    #[test]
    fn refuses_what_is_no_private_key() {
        let signer = SoftwareSigner::new();
        let mut broken = generate(KeyType::EcdsaP256).unwrap();
        broken.truncate(20);
        for bytes in [broken, Zeroizing::new(vec![]), Zeroizing::new(b"-----BEGIN".to_vec())] {
            assert_eq!(
                signer.insert_pkcs8(name("k"), bytes),
                Err(InsertError::Malformed { name: name("k") })
            );
        }
        assert!(!signer.contains(&name("k")));
    }

    #[test]
    fn wrapped_bytes_open_with_their_key_and_purpose_only() {
        let signer = SoftwareSigner::new();
        for key in ["a", "b"] {
            signer
                .insert_wrapping_key(name(key), &generate_secret(AES_KEY_BYTES).unwrap())
                .unwrap();
        }
        let wrapped = signer.wrap(&name("a"), b"secret", b"purpose").unwrap();
        assert_eq!(**signer.unwrap(&name("a"), &wrapped, b"purpose").unwrap(), *b"secret");
        for (key, purpose) in [("a", b"another"), ("b", b"purpose")] {
            let refused = signer.unwrap(&name(key), &wrapped, purpose);
            assert_eq!(refused, Err(WrapError::Refused { key: name(key) }));
        }
        assert_ne!(signer.wrap(&name("a"), b"secret", b"purpose").unwrap(), wrapped);
        assert_eq!(signer.unwrap(&name("a"), &wrapped[..20], b""), Err(WrapError::Malformed));
        assert!(matches!(signer.wrap(&name("c"), b"", b""), Err(WrapError::Key(_))));
        let short = Zeroizing::new(vec![0; AES_KEY_BYTES - 1]);
        assert!(signer.insert_wrapping_key(name("c"), &short).is_err());
    }

    #[test]
    fn rsa_keys_decrypt_and_take_keys_in() {
        let signer = SoftwareSigner::new();
        let rsa = signer.insert_pkcs8(name("rsa"), generate(KeyType::Rsa2048).unwrap()).unwrap();
        let secret = generate(KeyType::Rsa4096).unwrap();
        for hash in [OaepHash::Sha1, OaepHash::Sha256, OaepHash::Sha384, OaepHash::Sha512] {
            let encrypted = encrypt(&rsa, hash, b"short").unwrap();
            assert_eq!(**signer.decrypt(&name("rsa"), hash, &encrypted).unwrap(), *b"short");
            let wrapped = wrap_key(&rsa, hash, &secret).unwrap();
            assert_eq!(signer.unwrap_key(&name("rsa"), hash, &wrapped).unwrap(), secret);
            for cut in [0, 255, 256, wrapped.len() - 1] {
                let refused = signer.unwrap_key(&name("rsa"), hash, &wrapped[..cut]);
                assert_eq!(refused, Err(OaepError::Refused), "{cut}");
            }
        }
        let other_hash = encrypt(&rsa, OaepHash::Sha1, b"short").unwrap();
        let refused = signer.decrypt(&name("rsa"), OaepHash::Sha256, &other_hash);
        assert_eq!(refused, Err(OaepError::Refused));
        let long = encrypt(&rsa, OaepHash::Sha256, &[0; 191]);
        assert_eq!(long, Err(OaepError::TooLong { limit: 190 }));
        let ec = signer.insert_pkcs8(name("ec"), generate(KeyType::EcdsaP256).unwrap()).unwrap();
        assert_eq!(encrypt(&ec, OaepHash::Sha256, b""), Err(OaepError::NoRsaKey));
        assert_eq!(signer.decrypt(&name("ec"), OaepHash::Sha256, b""), Err(OaepError::NoRsaKey));
    }

    #[test]
    fn macs_are_those_of_rfc_4231() {
        let signer = SoftwareSigner::new();
        signer.insert_mac_key(name("m"), Zeroizing::new(b"Jefe".to_vec()));
        let mac = signer.mac(&name("m"), MacHash::Sha256, b"what do ya want for nothing?").unwrap();
        let expected = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e];
        assert_eq!(mac[..8], expected);
        let verify = |message: &[u8]| signer.verify_mac(&name("m"), MacHash::Sha256, message, &mac);
        assert_eq!(verify(b"what do ya want for nothing?"), Ok(true));
        assert_eq!(verify(b"what do ya want for nothing!"), Ok(false));
        let of_another_kind = signer.wrap(&name("m"), b"", b"");
        assert!(matches!(of_another_kind, Err(WrapError::Key(SignError::UnknownKey { .. }))));
    }
}
