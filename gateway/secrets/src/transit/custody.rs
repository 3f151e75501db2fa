//! Makes, imports and loads the keys of the transit engine, in software or in the HSM.

use std::sync::Arc;

use chancery_compute::Compute;
use chancery_keys::pkcs11::{Brought, Pkcs11Signer, Usage};
use chancery_keys::software::{self, AES_KEY_BYTES, OaepHash, SoftwareSigner};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_store::Store;
use chancery_x509::PublicKey;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use super::cost::Cost;
use super::held::{Decrypts, Held, Holder};
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
    decrypts: Arc<Decrypts>,
    compute: Compute,
}

/// A version of a key that was just made.
pub(super) struct Made {
    /// What is to be stored, of a key that is kept in software.
    pub(super) material: Option<Zeroizing<Vec<u8>>>,
    /// The public half of a pair.
    pub(super) public: Option<PublicKey>,
}

impl Custody {
    /// With the HSM, if there is one.
    pub fn new(token: Option<Arc<Pkcs11Signer>>) -> Self {
        Self {
            token,
            ready: Cache::new(READY),
            decrypts: Arc::new(Cache::new(READY)),
            compute: Compute::default(),
        }
    }

    /// Does work that costs this much, where it may take that long.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        cost: Cost,
        work: impl FnOnce() -> Result<T, TransitError> + Send + 'static,
    ) -> Result<T, TransitError> {
        if cost.is_long() { self.compute.run(work).await? } else { work() }
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
        let Made { material: Some(material), public } = made else { return Ok(made) };
        self.take_into_hsm(key_type, name, Brought::Plain(material), public.as_ref()).await?;
        Ok(Made { material: None, public })
    }

    /// Brings a key into the HSM.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if it does not take it.
    pub(super) async fn take_into_hsm(
        &self,
        key_type: TransitKeyType,
        name: &KeyName,
        brought: Brought,
        public: Option<&PublicKey>,
    ) -> Result<(), TransitError> {
        let token = self.token()?;
        let taken = match (key_type, public) {
            (TransitKeyType::Pair(key_type), Some(public)) => {
                token.import(name, brought, public, usage(key_type)).await
            }
            (TransitKeyType::Aes256Gcm96, _) => token.import_wrapping_key(name, brought).await,
            _ => return Err(TransitError::Refused(NO_HMAC.into())),
        };
        taken.map_err(|error| TransitError::Refused(error.to_string().into()))
    }

    /// Makes an RSA key in the HSM to which keys are wrapped that are brought in.
    pub(super) async fn make_wrapping_key(&self, name: &KeyName) -> Result<(), TransitError> {
        let made = self.token()?.generate_for(name, KeyType::Rsa4096, Usage::UNWRAP).await;
        made.map(drop).map_err(|error| TransitError::Making(error.to_string()))
    }

    /// Its public half, and the hash in OAEP that the HSM has.
    pub(super) async fn wrapping_key(
        &self,
        name: &KeyName,
    ) -> Result<(PublicKey, OaepHash), TransitError> {
        let token = self.token()?;
        let public = token.public_key(name)?;
        let hash = token.unwrapping_hash(name).await.map_err(|error| {
            let said = format!(
                "the HSM unwraps no keys with RSA-OAEP ({error}): wrap to the key in software, which puts \
                 them into the HSM"
            );
            TransitError::Refused(said.into())
        })?;
        Ok((public, hash))
    }

    pub(super) async fn remove_from_hsm(&self, name: &KeyName) -> Result<(), TransitError> {
        let removed = self.token()?.destroy(name).await;
        removed.map_err(|error| TransitError::Unavailable(error.to_string()))
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
        let (name, compute) = (version.held_as.clone(), self.compute.clone());
        if key.protection == Protection::Hsm {
            let (token, decrypts) = (self.token()?.clone(), self.decrypts.clone());
            return Ok(Held { name, holder: Holder::Token { token, decrypts }, compute });
        }
        let load = async {
            let material = material(store, layout, version).await?;
            Ok::<_, TransitError>(holder(key.key_type, &name, &material).await?.0)
        };
        let signer = self.ready.get_or_insert_async(&name, load).await?;
        Ok(Held { name, holder: Holder::Software(signer), compute })
    }

    /// Forgets a version, and removes it from the HSM if it is there.
    pub(super) async fn destroy(
        &self,
        protection: Protection,
        version: &KeyVersion,
    ) -> Result<(), TransitError> {
        self.ready.remove(&version.held_as);
        if protection == Protection::Hsm {
            self.remove_from_hsm(&version.held_as).await?;
        }
        Ok(())
    }
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

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custody").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::transit::cost::Work;
    use crate::transit::{KeySettings, KeyVersion};

    #[tokio::test]
    async fn what_takes_long_does_not_run_on_an_async_thread() {
        let kind = (TransitKeyType::Pair(KeyType::EcdsaP521), Protection::Software);
        let first = KeyVersion::new(jiff::Timestamp::UNIX_EPOCH).unwrap();
        let key = TransitKey::new(kind, KeySettings::default(), first);
        let one = Cost::of(&key, Work::Public, 32);
        let many = Cost::of_batch([one; 1000]).unwrap();
        assert!(!one.is_long() && many.is_long(), "{one}, {many}");
        let custody = Custody::new(None);
        let here = thread::current().id();
        let on = || Ok(thread::current().id());
        assert_eq!(custody.compute(one, on).await.unwrap(), here);
        assert_ne!(custody.compute(many, on).await.unwrap(), here);
    }

    #[test]
    fn a_single_input_is_never_too_much_and_an_hsm_computes_itself() {
        let kind = (TransitKeyType::Pair(KeyType::Rsa4096), Protection::Hsm);
        let first = KeyVersion::new(jiff::Timestamp::UNIX_EPOCH).unwrap();
        let mut key = TransitKey::new(kind, KeySettings::default(), first);
        let in_hsm = Cost::of(&key, Work::Private, 0);
        assert!(Cost::of_batch([in_hsm; 1000]).is_ok());
        key.protection = Protection::Software;
        let here = Cost::of(&key, Work::Private, 0);
        assert!(Cost::of_batch([here; 1000]).is_err());
        assert!(Cost::of_batch([Cost::of(&key, Work::Private, usize::MAX)]).is_ok());
    }
}
