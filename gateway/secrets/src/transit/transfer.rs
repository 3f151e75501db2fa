use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::software::{self, AES_KEY_BYTES, OaepHash, SoftwareSigner};
use chancery_keys::{KeyName, KeyType};
use chancery_store::{Commit, CommitError, Key};
use chancery_x509::{PublicKey, pem};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::custody::material;
use super::record::KeyVersion;
use super::storage::{Layout, Loaded, secret};
use super::{
    KeySettings, Protection, SettingsUpdate, Transit, TransitError, TransitKey, TransitKeyName,
    TransitKeyType,
};

/// What a backup begins with.
const BACKUP: &str = "chancery:backup:v1:";

/// A key that is brought in, or its next version.
pub struct Import {
    /// What kind it is; of a new key only.
    pub key_type: TransitKeyType,
    /// Where it is kept from then on; of a new key only.
    pub protection: Protection,
    /// The key itself.
    pub what: Imported,
    /// What differs from the usual settings; of a new key only.
    pub settings: SettingsUpdate,
}

/// What is brought in.
pub enum Imported {
    /// A key that was [wrapped](software::wrap_key) to [`Transit::wrapping_key`]: PKCS#8, or the bytes of a
    /// secret key.
    Wrapped {
        /// The wrapped key.
        ciphertext: Vec<u8>,
        /// The hash in OAEP.
        hash: OaepHash,
    },
    /// Only the public half, in PEM: to verify, and to encrypt to.
    Public(String),
}

/// What a backup holds.
#[derive(Serialize, Deserialize)]
struct Backup {
    key: TransitKey,
    /// By version, in base64.
    material: BTreeMap<u64, Zeroizing<String>>,
}

impl Transit<'_> {
    /// The RSA key, in PEM, to which whoever brings a key in wraps it: `keys.import`, on the mount.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn wrapping_key(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<String, TransitError> {
        let resource = format!("{}/", self.mount);
        let allowed = self.ask(context, caller, "keys.import", &resource, vec![]).await?;
        let opened = self.opener(&self.layout(&context.tenant)).await;
        let pem = opened.map(|(_, _, public)| pem::encode(pem::PUBLIC_KEY, public.spki_der()));
        allowed.finish(pem).await
    }

    /// Brings a key in, or, if `version_of_known`, the next version of one that is there: `keys.import`.
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
        let facts = vec![
            ("key-type".to_owned(), import.key_type.to_string()),
            ("protection".to_owned(), import.protection.as_str().to_owned()),
            ("exportable".to_owned(), import.settings.exportable.unwrap_or(false).to_string()),
        ];
        let resource = self.resource(name);
        let allowed = self.ask(context, caller, "keys.import", &resource, facts).await?;
        let imported = self.imported(context, name, import, version_of_known).await;
        let version = imported.as_ref().map_or(0, |key| key.latest);
        allowed.detail("version", version).finish(imported).await
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
            key.plan_rotation(self.now());
            key
        };
        self.keep(&layout, name, known.as_ref(), &key, brought).await?;
        Ok(key)
    }

    /// Takes out a key that was wrapped to this mount.
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

    /// The mount's own RSA key, which is made the first time that it is needed.
    async fn opener(
        &self,
        layout: &Layout<'_>,
    ) -> Result<(SoftwareSigner, KeyName, PublicKey), TransitError> {
        let make = || {
            let made = software::generate(KeyType::Rsa4096);
            made.map_err(|error| TransitError::Making(error.to_string()))
        };
        let pkcs8 = self.own_secret(layout.wrapping()?, make).await?;
        let name: KeyName = "wrapping".parse().map_err(|_| TransitError::NotFound)?;
        let signer = SoftwareSigner::new();
        let public = signer.insert_pkcs8(name.clone(), pkcs8);
        let public = public.map_err(|error| TransitError::Broken(error.to_string()))?;
        Ok((signer, name, public))
    }

    /// A secret of the mount, which is made the first time that it is needed.
    async fn own_secret(
        &self,
        at: Key,
        make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, TransitError> + Send + 'static,
    ) -> Result<Zeroizing<Vec<u8>>, TransitError> {
        self.custody()?;
        if let Some(record) = self.store().get(&at).await? {
            return Ok(Zeroizing::new(record.value.to_vec()));
        }
        let made = tokio::task::spawn_blocking(make).await;
        let made = made.map_err(|error| TransitError::Making(error.to_string()))??;
        let commit = Commit::new().check_absent(at.clone()).put(at.clone(), secret(made.clone()));
        match self.store().commit(commit).await {
            Ok(_) => Ok(made),
            // Somebody else was quicker.
            Err(CommitError::Conflict { .. }) => match self.store().get(&at).await? {
                Some(record) => Ok(Zeroizing::new(record.value.to_vec())),
                None => Err(TransitError::Contended),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Wraps versions of an exportable key, all or the one asked for, to another key of this mount:
    /// `keys.export`, on the key that is handed out. The policies are told the `destination`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn export(
        &self,
        context: &RequestContext,
        caller: &Caller,
        source: &TransitKeyName,
        destination: &TransitKeyName,
        version: Option<u64>,
    ) -> Result<(TransitKey, BTreeMap<u64, Vec<u8>>), TransitError> {
        let facts = |_: &TransitKey| vec![("destination".to_owned(), destination.to_string())];
        let using = self.find(context, caller, "keys.export", source, facts).await?;
        let exported = self.exported(context, using.found, destination, version).await;
        let allowed = using.allowed.detail("destination", destination.as_str());
        allowed.finish(exported).await
    }

    async fn exported(
        &self,
        context: &RequestContext,
        found: Result<Loaded, TransitError>,
        destination: &TransitKeyName,
        version: Option<u64>,
    ) -> Result<(TransitKey, BTreeMap<u64, Vec<u8>>), TransitError> {
        let Loaded { key, .. } = found?;
        key.expect_enabled()?;
        if !key.settings.exportable {
            return Err(TransitError::Refused("the key is not exportable".into()));
        }
        in_software_only(&key)?;
        let layout = self.layout(&context.tenant);
        let to = layout.load(self.store(), destination).await?;
        let to = to.ok_or_else(|| TransitError::Refused("there is no destination key".into()))?;
        to.key.expect_enabled()?;
        let public = to.key.version(to.key.latest)?.public_key();
        let public = public.filter(|_| to.key.key_type.is_rsa()).ok_or_else(|| {
            TransitError::Refused("the destination must be a key of type RSA".into())
        })?;
        let mut exported = BTreeMap::new();
        let wanted =
            key.versions.iter().filter(|(number, _)| version.is_none_or(|v| v == **number));
        for (number, of_version) in wanted {
            let material = material(self.store(), &layout, of_version).await?;
            let wrapped = software::wrap_key(&public, OaepHash::Sha256, &material)?;
            exported.insert(*number, wrapped);
        }
        if exported.is_empty() {
            return Err(TransitError::Refused("the key has no such version".into()));
        }
        Ok((key, exported))
    }

    /// All of a key, encrypted for this mount and no other: `keys.back-up`.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn back_up(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
    ) -> Result<String, TransitError> {
        let using = self.find(context, caller, "keys.back-up", name, |_| vec![]).await?;
        let backup = match using.found {
            Ok(loaded) => self.backed_up(context, loaded.key).await,
            Err(error) => Err(error),
        };
        using.allowed.finish(backup).await
    }

    async fn backed_up(
        &self,
        context: &RequestContext,
        key: TransitKey,
    ) -> Result<String, TransitError> {
        in_software_only(&key)?;
        let layout = self.layout(&context.tenant);
        let mut backup = Backup { key, material: BTreeMap::new() };
        let mut size = 4096;
        for (number, version) in &backup.key.versions {
            if !version.public_only {
                let material = material(self.store(), &layout, version).await?;
                let text = Zeroizing::new(STANDARD.encode(&material));
                size += text.len() + 8192;
                backup.material.insert(*number, text);
            }
        }
        // With room for all, so that no copy is left behind by growing.
        let mut plain = Zeroizing::new(Vec::with_capacity(size));
        serde_json::to_writer(&mut *plain, &backup)
            .map_err(|_| TransitError::Record("of a backup".to_owned()))?;
        let (signer, name) = self.backup_key(&layout).await?;
        let sealed = signer.wrap(&name, &plain, BACKUP.as_bytes())?;
        Ok(format!("{BACKUP}{}", STANDARD.encode(sealed)))
    }

    /// Brings a backed up key back under a name that is free, `keys.restore`, disabled if it was not in
    /// use then.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn restore(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: &TransitKeyName,
        backup: &str,
    ) -> Result<TransitKey, TransitError> {
        let resource = self.resource(name);
        let allowed = self.ask(context, caller, "keys.restore", &resource, vec![]).await?;
        let restored = self.restored(context, name, backup).await;
        allowed.finish(restored).await
    }

    async fn restored(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        backup: &str,
    ) -> Result<TransitKey, TransitError> {
        let unreadable = || TransitError::Refused("this is no backup of a key".into());
        let sealed = backup.trim().strip_prefix(BACKUP).ok_or_else(unreadable)?;
        let sealed = STANDARD.decode(sealed).map_err(|_| unreadable())?;
        let layout = self.layout(&context.tenant);
        if layout.load(self.store(), name).await?.is_some() {
            return Err(taken());
        }
        let (signer, backup_key) = self.backup_key(&layout).await?;
        let plain = signer.unwrap(&backup_key, &sealed, BACKUP.as_bytes()).map_err(|_| {
            TransitError::Refused("the backup was made by another mount, tenant or gateway".into())
        })?;
        let Backup { mut key, material } =
            serde_json::from_slice(&plain).map_err(|_| unreadable())?;
        if key.state != super::State::Enabled {
            key.state = super::State::Disabled;
        }
        let mut materials = vec![];
        for (number, version) in &mut key.versions {
            // The key that was backed up may still be there, and each has to end alone.
            version.held_as = KeyVersion::new(self.now())?.held_as;
            if let Some(text) = material.get(number) {
                let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| unreadable())?;
                materials.push((layout.material(version)?, Zeroizing::new(bytes)));
            }
        }
        key.plan_rotation(self.now());
        let mut commit = layout.put(name, None, &key)?;
        for (at, material) in materials {
            commit = commit.put(at, secret(material));
        }
        self.store().commit(commit).await?;
        Ok(key)
    }

    async fn backup_key(
        &self,
        layout: &Layout<'_>,
    ) -> Result<(SoftwareSigner, KeyName), TransitError> {
        let make = || {
            software::generate_secret(AES_KEY_BYTES).ok_or_else(|| {
                TransitError::Making("the system gives no random numbers".to_owned())
            })
        };
        let key = self.own_secret(layout.backup()?, make).await?;
        let name: KeyName = "backup".parse().map_err(|_| TransitError::NotFound)?;
        let signer = SoftwareSigner::new();
        let taken = signer.insert_wrapping_key(name.clone(), &key);
        taken.map_err(|error| TransitError::Broken(error.to_string()))?;
        Ok((signer, name))
    }
}

fn taken() -> TransitError {
    TransitError::Refused("there is a key with this name already".into())
}

fn in_software_only(key: &TransitKey) -> Result<(), TransitError> {
    if key.protection == Protection::Software {
        return Ok(());
    }
    Err(TransitError::Refused(
        "the key is in the HSM and cannot be taken out: use the vendor's tools".into(),
    ))
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
