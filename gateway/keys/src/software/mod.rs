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
            let result = self.sign_with(key, algorithm, message).await;
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
