//! Imports keys that a client wrapped to the mount's wrapping key, and public keys.

use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::pkcs11::Brought;
use chancery_keys::software::{self, OaepHash, SoftwareSigner};
use chancery_keys::{KeyName, KeyType};
use chancery_x509::{PublicKey, pem};
use zeroize::Zeroizing;

use super::record::KeyVersion;
use super::storage::{Layout, Loaded};
use super::{
    KeySettings, Protection, SettingsUpdate, Transit, TransitError, TransitKey, TransitKeyName,
    TransitKeyType,
};

/// A key that is brought in, or its next version.
pub struct Import {
    /// What kind it is; for a new key only.
    pub key_type: TransitKeyType,
    /// Where it is kept from then on; for a new key only.
    pub protection: Protection,
    /// The key itself.
    pub what: Imported,
    /// Settings that differ from the default; for a new key only.
    pub settings: SettingsUpdate,
}

/// The form in which a key is brought in.
pub enum Imported {
    /// A key that was [wrapped](software::wrap_key) to [`Transit::wrapping_key`]: PKCS#8, or the bytes of a
    /// secret key.
    Wrapped {
        /// The wrapped key.
        ciphertext: Vec<u8>,
        /// The hash in OAEP.
        hash: OaepHash,
    },
    /// A key that was wrapped to the wrapping key in the HSM, where it stays.
    WrappedToHsm {
        /// The wrapped key.
        ciphertext: Vec<u8>,
        /// The hash in OAEP.
        hash: OaepHash,
        /// The public half in PEM if it is a key pair: the HSM does not return the public half of a key that
        /// it unwraps.
        public: Option<String>,
    },
    /// The public half only, in PEM: for verification and encryption.
    Public(String),
}

/// The key to which imported keys are wrapped.
#[derive(Debug)]
pub struct WrappingKey {
    /// The RSA key, in PEM.
    pub pem: String,
    /// The hash that its holder supports in OAEP, or the usual one.
    pub hash: OaepHash,
}

impl Transit<'_> {
    /// The RSA key to which a client wraps a key that it imports: `keys.import`, on the mount. Keys that are
    /// wrapped to the HSM's wrapping key are unwrapped only there.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn wrapping_key(
        &self,
        context: &RequestContext,
        caller: &Caller,
        holder: Protection,
    ) -> Result<WrappingKey, TransitError> {
        let resource = format!("{}/", self.mount);
        let allowed = self.ask(context, caller, "keys.import", &resource, vec![]).await?;
        let layout = self.layout(&context.tenant);
        let found = async {
            let (public, hash) = match holder {
                Protection::Software => (self.opener(&layout).await?.2, OaepHash::default()),
                Protection::Hsm => {
                    let name = self.opener_in_hsm(&layout).await?;
                    self.custody()?.wrapping_key(&name).await?
                }
            };
            Ok(WrappingKey { pem: pem::encode(pem::PUBLIC_KEY, public.spki_der()), hash })
        };
        let found = found.await;
        allowed.finish(found).await
    }

    /// Imports a key, or, if `version_of_known`, the next version of an existing key: `keys.import`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn import(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        import: Import,
        version_of_known: bool,
    ) -> Result<TransitKey, TransitError> {
        let unwrapped_in = import.what.unwrapped_in().as_str();
        let facts = vec![
            ("key-type".to_owned(), import.key_type.to_string()),
            ("protection".to_owned(), import.protection.as_str().to_owned()),
            ("exportable".to_owned(), import.settings.exportable.unwrap_or(false).to_string()),
            ("unwrapped-in".to_owned(), unwrapped_in.to_owned()),
        ];
        let resource = self.resource(name);
        let allowed = self.ask(context, caller, "keys.import", &resource, facts).await?;
        let imported = self.imported(context, name, import, version_of_known).await;
        let version = imported.as_ref().map_or(0, |key| key.latest);
        let allowed = allowed.detail("version", version).detail("unwrapped-in", unwrapped_in);
        allowed.finish(imported).await
    }

    async fn imported(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        import: Import,
        version_of_known: bool,
    ) -> Result<TransitKey, TransitError> {
        let layout = self.layout(&context.tenant);
        let known = layout.load(self.store(), name).await?;
        match &known {
            Some(_) if !version_of_known => return Err(taken()),
            None if version_of_known => return Err(TransitError::NotFound),
            Some(Loaded { key, .. }) => {
                key.expect_enabled()?;
                if !key.imported {
                    return Err(TransitError::Refused(
                        "the key was made here and is rotated here".into(),
                    ));
                }
            }
            None => {}
        }
        let (key_type, protection) = match &known {
            Some(known) => (known.key.key_type, known.key.protection),
            None => (import.key_type, import.protection),
        };
        let mut version = KeyVersion::new(self.now())?;
        let brought = match import.what {
            Imported::Wrapped { ciphertext, hash } => {
                let material = self.unwrapped(&layout, ciphertext, hash).await?;
                let held_as = &version.held_as;
                let taking = self.custody()?.take_in(key_type, protection, held_as, material);
                let made = taking.await?;
                version = version.with_public(made.public.as_ref());
                made.material
            }
            Imported::WrappedToHsm { .. } if protection != Protection::Hsm => {
                let why = "what was wrapped to the HSM's key stays there: protection has to be hsm";
                return Err(TransitError::Refused(why.into()));
            }
            Imported::WrappedToHsm { ciphertext, hash, public } => {
                let public = match (key_type, public) {
                    (TransitKeyType::Pair(_), Some(text)) => Some(public_key(&text, key_type)?),
                    (TransitKeyType::Pair(_), None) => {
                        let why = "give the public_key too: the HSM does not tell it";
                        return Err(TransitError::Refused(why.into()));
                    }
                    _ => None,
                };
                let to = self.opener_in_hsm(&layout).await?;
                let brought = Brought::Wrapped { to, hash, bytes: ciphertext };
                let custody = self.custody()?;
                custody.take_into_hsm(key_type, &version.held_as, brought, public.as_ref()).await?;
                version = version.with_public(public.as_ref());
                None
            }
            Imported::Public(_) if protection == Protection::Hsm => {
                let why = "a public key alone is kept in software";
                return Err(TransitError::Refused(why.into()));
            }
            Imported::Public(text) => {
                version = version.with_public(Some(&public_key(&text, key_type)?));
                version.public_only = true;
                None
            }
        };
        let key = if let Some(known) = &known {
            let mut key = known.key.clone();
            key.add(version);
            key
        } else {
            let usual = KeySettings { allow_rotation: false, ..KeySettings::default() };
            let settings = usual.changed(import.settings, 1, 1)?;
            let mut key = TransitKey::new((key_type, protection), settings, version);
            key.imported = true;
            key
        };
        self.keep(&layout, name, known.as_ref(), &key, brought).await?;
        Ok(key)
    }

    /// Unwraps a key that was wrapped to this mount.
    async fn unwrapped(
        &self,
        layout: &Layout<'_>,
        ciphertext: Vec<u8>,
        hash: OaepHash,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        let (signer, name, _) = self.opener(layout).await?;
        let unwrapped =
            tokio::task::spawn_blocking(move || signer.unwrap_key(&name, hash, &ciphertext));
        let unwrapped = unwrapped.await.map_err(|error| TransitError::Broken(error.to_string()))?;
        unwrapped.map_err(|_| {
            TransitError::Refused(
                "the ciphertext does not open: wrap the key to this mount's wrapping_key (RSA-OAEP, \
                 then AES-KWP), and name the hash_function of OAEP"
                    .into(),
            )
        })
    }

    /// The mount's own RSA key; it is made when it is first needed.
    async fn opener(
        &self,
        layout: &Layout<'_>,
    ) -> Result<(SoftwareSigner, KeyName, PublicKey), TransitError> {
        let make = async {
            let failed = |error: &dyn std::fmt::Display| TransitError::Making(error.to_string());
            let made = tokio::task::spawn_blocking(|| software::generate(KeyType::Rsa4096)).await;
            made.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
        };
        let pkcs8 = self.own_secret(layout.wrapping()?, make).await?;
        let name: KeyName = "wrapping".parse().map_err(|_| TransitError::NotFound)?;
        let opening = tokio::task::spawn_blocking(move || {
            let signer = SoftwareSigner::new();
            let public = signer.insert_pkcs8(name.clone(), pkcs8);
            public.map(|public| (signer, name, public))
        });
        let broken = |error: &dyn std::fmt::Display| TransitError::Broken(error.to_string());
        opening.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))
    }

    /// The name of the mount's RSA key in the HSM; it is made when it is first needed.
    async fn opener_in_hsm(&self, layout: &Layout<'_>) -> Result<KeyName, TransitError> {
        let at = layout.wrapping_in_hsm()?;
        let fresh = KeyVersion::new(self.now())?.held_as;
        let mut made = false;
        let make = async {
            self.custody()?.make_wrapping_key(&fresh).await?;
            made = true;
            Ok(Zeroizing::new(fresh.as_str().as_bytes().to_vec()))
        };
        let name = self.own_secret(at.clone(), make).await?;
        let name = std::str::from_utf8(&name).ok().and_then(|name| name.parse::<KeyName>().ok());
        let name = name.ok_or_else(|| TransitError::Record(at.to_string()))?;
        if made && name != fresh {
            // Another request was faster, and nothing refers to this key.
            self.custody()?.remove_from_hsm(&fresh).await?;
        }
        Ok(name)
    }
}

impl Imported {
    fn unwrapped_in(&self) -> Protection {
        match self {
            Self::WrappedToHsm { .. } => Protection::Hsm,
            Self::Wrapped { .. } | Self::Public(_) => Protection::Software,
        }
    }
}

pub(super) fn taken() -> TransitError {
    TransitError::Refused("there is a key with this name already".into())
}

/// A public key of this type, in PEM.
fn public_key(text: &str, key_type: TransitKeyType) -> Result<PublicKey, TransitError> {
    let refused = |why: String| TransitError::Refused(format!("public_key: {why}").into());
    let found = pem::decode(pem::PUBLIC_KEY, text).map_err(|error| refused(error.to_string()))?;
    let [der] = found.as_slice() else {
        return Err(refused("give one public key in PEM".to_owned()));
    };
    let key = PublicKey::from_spki_der(der).map_err(|error| refused(error.to_string()))?;
    key.check_strength().map_err(|error| refused(error.to_string()))?;
    let found = key.algorithm().to_string();
    if found != key_type.as_str() {
        return Err(refused(format!("it is of type {found}, not {key_type}")));
    }
    Ok(key)
}
