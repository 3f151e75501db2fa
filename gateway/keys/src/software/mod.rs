//! Keys in this process's memory (aws-lc): for development, and for installations whose keys are
//! sealed in the store.

mod error;
mod generate;
mod sign;

pub use error::{GenerateError, InsertError};
pub use generate::generate;

use std::sync::Arc;
use std::time::Instant;

use chancery_x509::{PublicKey, SignatureAlgorithm};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::{BoxFuture, KeyName, SignError, Signer, metrics};
use sign::{PrivateKey, Refusal};

/// A [`Signer`] whose keys are in memory. Keys come and go while it signs.
#[derive(Default)]
pub struct SoftwareSigner {
    keys: DashMap<KeyName, Arc<SoftwareKey>>,
}

struct SoftwareKey {
    private: PrivateKey,
    public: PublicKey,
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
        drop(pkcs8);
        let spki = private.public_spki().map_err(|_| malformed())?;
        let public = PublicKey::from_spki_der(&spki).map_err(|_| malformed())?;
        public
            .check_strength()
            .map_err(|weak| InsertError::Weak { name: name.clone(), reason: weak.to_string() })?;
        match self.keys.entry(name) {
            Entry::Occupied(held) if held.get().public.spki_der() == public.spki_der() => {}
            Entry::Occupied(held) => return Err(InsertError::Exists { name: held.key().clone() }),
            Entry::Vacant(free) => {
                free.insert(Arc::new(SoftwareKey { private, public: public.clone() }));
            }
        }
        Ok(public)
    }

    /// Forgets a key; whether there was one. Signatures that are being made still finish.
    pub fn remove(&self, name: &KeyName) -> bool {
        self.keys.remove(name).is_some()
    }

    /// Whether there is a key of this name.
    pub fn contains(&self, name: &KeyName) -> bool {
        self.keys.contains_key(name)
    }

    fn find(&self, name: &KeyName) -> Result<Arc<SoftwareKey>, SignError> {
        self.keys
            .get(name)
            .map(|entry| Arc::clone(entry.value()))
            .ok_or_else(|| SignError::UnknownKey { key: name.clone() })
    }

    async fn sign_with(
        &self,
        name: &KeyName,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let key = self.find(name)?;
        key.private.sign(algorithm, message).await.map_err(|refusal| match refusal {
            Refusal::Unsupported => SignError::Unsupported { key: name.clone(), algorithm },
            Refusal::Failed => SignError::Failed {
                key: name.clone(),
                reason: "the cryptographic library gave no signature".to_owned(),
            },
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
        Ok(self.find(key)?.public.clone())
    }

    fn kind(&self) -> &'static str {
        "software"
    }
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
}
