use std::sync::Arc;

use chancery_keys::pkcs11::{Pkcs11Signer, Usage};
use chancery_keys::software::{self, AES_KEY_BYTES, OaepHash, SoftwareSigner};
use chancery_keys::{FORMAT_AES_GCM, KeyName, KeyType, SignError, Signer, WrapError};
use chancery_store::Store;
use chancery_x509::{PublicKey, SignatureAlgorithm};
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::storage::Layout;
use super::{KeyVersion, Protection, TransitError, TransitKey, TransitKeyType};

/// Versions of software keys that are kept ready in memory.
const READY: usize = 4096;

const NO_HMAC: &str = "keys for HMAC are kept in software only";

/// Who holds the private halves and secrets: the HSM, or this process, which reads them from the sealed
/// store and forgets those that were not used for long.
pub struct Custody {
    token: Option<Arc<Pkcs11Signer>>,
    /// A holder for each version, so that the cache can forget one with its memory.
    ready: Cache<KeyName, Arc<SoftwareSigner>>,
    /// Of RSA keys in the HSM: the hashes with which they were seen to decrypt.
    decrypts: Arc<Cache<(KeyName, OaepHash), ()>>,
}

/// A version of a key that was just made.
pub(super) struct Made {
    /// What is to be stored, of a key that is kept in software.
    pub(super) material: Option<Zeroizing<Vec<u8>>>,
    /// The public half of a pair.
    pub(super) public: Option<PublicKey>,
}

/// A version of a key, ready to be used.
pub(super) struct Held {
    name: KeyName,
    holder: Holder,
}

enum Holder {
    Software(Arc<SoftwareSigner>),
    Token { token: Arc<Pkcs11Signer>, decrypts: Arc<Cache<(KeyName, OaepHash), ()>> },
}

impl Custody {
    /// With the HSM, if there is one.
    pub fn new(token: Option<Arc<Pkcs11Signer>>) -> Self {
        Self { token, ready: Cache::new(READY), decrypts: Arc::new(Cache::new(READY)) }
    }

    fn token(&self) -> Result<&Arc<Pkcs11Signer>, TransitError> {
        self.token.as_ref().ok_or_else(|| {
            TransitError::Refused(
                "this gateway has no HSM: configure [pkcs11], or use protection software".into(),
            )
        })
    }

    /// Makes a key that the holder knows under this name.
    pub(super) async fn make(
        &self,
        key_type: TransitKeyType,
        protection: Protection,
        name: &KeyName,
    ) -> Result<Made, TransitError> {
        match protection {
            Protection::Software => self.make_in_software(key_type, name).await,
            Protection::Hsm => {
                let token = self.token()?;
                let failed = |error: chancery_keys::pkcs11::GenerateError| {
                    TransitError::Making(error.to_string())
                };
                let public = match key_type {
                    TransitKeyType::Pair(key_type) => Some(
                        token
                            .generate_for(name, key_type, usage(key_type))
                            .await
                            .map_err(failed)?,
                    ),
                    TransitKeyType::Aes256Gcm96 => {
                        token.generate_wrapping_key(name).await.map_err(failed)?;
                        None
                    }
                    TransitKeyType::Hmac => {
                        return Err(TransitError::Refused(NO_HMAC.into()));
                    }
                };
                Ok(Made { material: None, public })
            }
        }
    }

    async fn make_in_software(
        &self,
        key_type: TransitKeyType,
        name: &KeyName,
    ) -> Result<Made, TransitError> {
        let material = match key_type {
            TransitKeyType::Aes256Gcm96 | TransitKeyType::Hmac => {
                software::generate_secret(AES_KEY_BYTES).ok_or_else(|| {
                    TransitError::Making("the system gives no random numbers".to_owned())
                })?
            }
            TransitKeyType::Pair(key_type) => {
                // RSA takes up to seconds.
                let made = tokio::task::spawn_blocking(move || software::generate(key_type)).await;
                let failed =
                    |error: &dyn std::fmt::Display| TransitError::Making(error.to_string());
                made.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?
            }
        };
        take_in(key_type, name, material).await
    }

    /// Takes in a key that was made elsewhere, so that its holder knows it under this name.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if it is no key of this type, or a weak one, or one that the HSM does not
    /// take.
    pub(super) async fn take_in(
        &self,
        key_type: TransitKeyType,
        protection: Protection,
        name: &KeyName,
        material: Zeroizing<Vec<u8>>,
    ) -> Result<Made, TransitError> {
        let made = take_in(key_type, name, material).await?;
        if protection == Protection::Software {
            return Ok(made);
        }
        let token = self.token()?;
        let Made { material: Some(material), public } = made else { return Ok(made) };
        let taken = match (key_type, &public) {
            (TransitKeyType::Pair(key_type), Some(public)) => {
                token.import(name, material, public, usage(key_type)).await
            }
            (TransitKeyType::Aes256Gcm96, _) => token.import_wrapping_key(name, material).await,
            _ => return Err(TransitError::Refused(NO_HMAC.into())),
        };
        taken.map_err(|error| TransitError::Refused(error.to_string().into()))?;
        Ok(Made { material: None, public })
    }

    /// Makes a version ready to be used.
    pub(super) async fn hold(
        &self,
        store: &dyn Store,
        layout: &Layout<'_>,
        key: &TransitKey,
        version: u64,
    ) -> Result<Held, TransitError> {
        let version = key.version(version)?;
        let name = version.held_as.clone();
        if key.protection == Protection::Hsm {
            let (token, decrypts) = (self.token()?.clone(), self.decrypts.clone());
            return Ok(Held { name, holder: Holder::Token { token, decrypts } });
        }
        let load = async {
            let material = material(store, layout, version).await?;
            Ok::<_, TransitError>(holder(key.key_type, &name, &material).await?.0)
        };
        let signer = self.ready.get_or_insert_async(&name, load).await?;
        Ok(Held { name, holder: Holder::Software(signer) })
    }

    /// Forgets a version, and removes it from the HSM if it is there.
    pub(super) async fn destroy(
        &self,
        protection: Protection,
        version: &KeyVersion,
    ) -> Result<(), TransitError> {
        self.ready.remove(&version.held_as);
        if protection == Protection::Hsm {
            let removed = self.token()?.destroy(&version.held_as).await;
            removed.map_err(|error| TransitError::Unavailable(error.to_string()))?;
        }
        Ok(())
    }
}

/// Not every HSM has every hash.
fn unfit(error: WrapError, hash: OaepHash) -> TransitError {
    let WrapError::Key(SignError::Failed { reason, .. }) = error else { return error.into() };
    let said = format!(
        "this key in the HSM does not decrypt RSA-OAEP with {hash} ({reason}): try another hash_function"
    );
    TransitError::Refused(said.into())
}

/// RSA keys do both, as they do in software.
fn usage(key_type: KeyType) -> Usage {
    match key_type {
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => Usage::SIGN_AND_DECRYPT,
        _ => Usage::SIGN,
    }
}

/// The private half or the secret of a version that is kept in software.
pub(super) async fn material(
    store: &dyn Store,
    layout: &Layout<'_>,
    version: &KeyVersion,
) -> Result<Zeroizing<Vec<u8>>, TransitError> {
    let at = layout.material(version)?;
    match store.get(&at).await? {
        Some(record) => Ok(Zeroizing::new(record.value.to_vec())),
        None if version.public_only => {
            Err(TransitError::Refused("there is only the public half of this key here".into()))
        }
        None => Err(TransitError::Record(at.to_string())),
    }
}

/// A key that was made elsewhere, or just now, as it is kept in software.
///
/// # Errors
/// [`TransitError::Refused`] if it is no key of this type, or a weak one.
async fn take_in(
    key_type: TransitKeyType,
    name: &KeyName,
    material: Zeroizing<Vec<u8>>,
) -> Result<Made, TransitError> {
    let (_, public) = holder(key_type, name, &material).await?;
    Ok(Made { material: Some(material), public })
}

/// A holder of one key. Checks what it is, which takes a millisecond for RSA.
async fn holder(
    key_type: TransitKeyType,
    name: &KeyName,
    material: &Zeroizing<Vec<u8>>,
) -> Result<(Arc<SoftwareSigner>, Option<PublicKey>), TransitError> {
    let (name, material) = (name.clone(), material.clone());
    let refused = |error: &dyn std::fmt::Display| TransitError::Refused(error.to_string().into());
    let taking = tokio::task::spawn_blocking(move || {
        let signer = SoftwareSigner::new();
        let public = match key_type {
            TransitKeyType::Aes256Gcm96 => {
                signer.insert_wrapping_key(name, &material).map_err(|error| refused(&error))?;
                None
            }
            TransitKeyType::Hmac if (16..=512).contains(&material.len()) => {
                signer.insert_mac_key(name, material);
                None
            }
            TransitKeyType::Hmac => return Err(refused(&"keys for HMAC have 16 to 512 bytes")),
            TransitKeyType::Pair(wanted) => {
                let public =
                    signer.insert_pkcs8(name, material).map_err(|error| refused(&error))?;
                let found = public.algorithm().to_string();
                if found != wanted.as_str() {
                    return Err(refused(&format!("the key is of type {found}, not {wanted}")));
                }
                Some(public)
            }
        };
        Ok((Arc::new(signer), public))
    });
    taking.await.map_err(|error| TransitError::Broken(error.to_string()))?
}

impl Held {
    /// Signs, in the form of X.509.
    pub(super) async fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, TransitError> {
        let signed = match &self.holder {
            Holder::Software(signer) => signer.sign(&self.name, algorithm, message).await,
            Holder::Token { token, .. } => token.sign(&self.name, algorithm, message).await,
        };
        Ok(signed?)
    }

    /// Encrypts with AES-256-GCM: nonce, ciphertext, tag.
    pub(super) async fn encrypt(
        &self,
        plaintext: &Zeroizing<Vec<u8>>,
        associated: &[u8],
    ) -> Result<Vec<u8>, TransitError> {
        let mut wrapped = match &self.holder {
            Holder::Software(signer) => signer.wrap(&self.name, plaintext, associated)?,
            Holder::Token { token, .. } => {
                token.wrap(&self.name, plaintext.clone(), associated).await?
            }
        };
        // The first byte is the format's, which Vault does not have.
        wrapped.drain(..1);
        Ok(wrapped)
    }

    /// Undoes [`encrypt`](Self::encrypt).
    pub(super) async fn decrypt(
        &self,
        ciphertext: &[u8],
        associated: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let wrapped = [&[FORMAT_AES_GCM], ciphertext].concat();
        Ok(match &self.holder {
            Holder::Software(signer) => signer.unwrap(&self.name, &wrapped, associated)?,
            Holder::Token { token, .. } => token.unwrap(&self.name, &wrapped, associated).await?,
        })
    }

    /// Decrypts with an RSA key (RSA-OAEP).
    pub(super) async fn decrypt_rsa(
        &self,
        hash: OaepHash,
        ciphertext: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        match &self.holder {
            Holder::Token { token, .. } => {
                let opened = token.decrypt(&self.name, hash, &ciphertext).await;
                opened.map_err(|error| unfit(error, hash))
            }
            Holder::Software(_) => {
                self.in_software(move |signer, name| Ok(signer.decrypt(name, hash, &ciphertext)?))
                    .await
            }
        }
    }

    /// Makes sure that what is encrypted to an RSA key will decrypt: not every HSM has every hash, and
    /// encryption does not ask it.
    pub(super) async fn expect_decryption(&self, hash: OaepHash) -> Result<(), TransitError> {
        let Holder::Token { token, decrypts } = &self.holder else { return Ok(()) };
        let trying = async {
            token.try_decryption(&self.name, hash).await.map_err(|error| unfit(error, hash))
        };
        decrypts.get_or_insert_async(&(self.name.clone(), hash), trying).await
    }

    /// Does something that only keys in software do, on a thread that may be busy for long.
    pub(super) async fn in_software<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SoftwareSigner, &KeyName) -> Result<T, TransitError> + Send + 'static,
    ) -> Result<T, TransitError> {
        let Holder::Software(signer) = &self.holder else {
            return Err(TransitError::Refused(
                "keys in the HSM sign, and encrypt with AES and RSA; for anything else use software".into(),
            ));
        };
        let (signer, name) = (signer.clone(), self.name.clone());
        tokio::task::spawn_blocking(move || work(&signer, &name))
            .await
            .map_err(|error| TransitError::Broken(error.to_string()))?
    }
}

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
