use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::KeyName;
use chancery_keys::software::{self, AES_KEY_BYTES, OaepHash, SoftwareSigner};
use chancery_store::{Commit, Key};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::custody::material;
use super::encoding::from_base64;
use super::import::taken;
use super::record::KeyVersion;
use super::storage::{Layout, Loaded, secret};
use super::{Protection, Transit, TransitError, TransitKey, TransitKeyName};

/// What a backup begins with.
const BACKUP: &str = "chancery:backup:v1:";

/// The longest backup, in bytes: with what is around it, a request to restore it is one that is taken.
const MAX_BACKUP_BYTES: usize = 30 * 1024 * 1024;

/// How many bytes of private halves are stored in one commit.
const PART_BYTES: usize = Commit::MAX_BYTES / 2;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
struct Backup {
    key: TransitKey,
    /// By version, in base64.
    material: BTreeMap<u64, Zeroizing<String>>,
}

impl Transit<'_> {
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
    /// See [`TransitError`]; [`TransitError::Refused`] if it would be longer than 30 MiB, since nobody could
    /// restore it.
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
            size += version.record_bytes();
            if !version.public_only {
                let material = material(self.store(), &layout, version).await?;
                let text = Zeroizing::new(STANDARD.encode(&material));
                size += text.len() + 32;
                backup.material.insert(*number, text);
            }
            if size / 3 * 4 > MAX_BACKUP_BYTES {
                return Err(TransitError::Refused(
                    "the key has so many versions that its backup would be longer than 30 MiB: trim \
                     earlier ones"
                        .into(),
                ));
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
        let sealed = from_base64(sealed).ok_or_else(unreadable)?;
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
        self.keep_all(layout.put(name, None, &key)?, materials).await?;
        Ok(key)
    }

    /// Commits a key's record with its private halves; in several commits, the record last, if they are too
    /// many for one.
    async fn keep_all(
        &self,
        record: Commit,
        materials: Vec<(Key, Zeroizing<Vec<u8>>)>,
    ) -> Result<(), TransitError> {
        let bytes: usize = materials.iter().map(|(_, material)| material.len() + 256).sum();
        let in_one = bytes + record.len_bytes() <= Commit::MAX_BYTES;
        let (mut record, mut parts) = (record, vec![]);
        let mut part = Commit::new();
        for (at, material) in materials {
            if in_one {
                record = record.put(at, secret(material));
                continue;
            }
            if part.len_bytes() + material.len() > PART_BYTES {
                parts.push(std::mem::take(&mut part));
            }
            part = part.put(at, secret(material));
        }
        parts.extend([part, record].into_iter().filter(|part| !part.writes().is_empty()));
        let mut stored: Vec<Key> = vec![];
        for commit in parts {
            let keys: Vec<Key> = commit.writes().keys().cloned().collect();
            if let Err(error) = self.store().commit(commit).await {
                let remove = stored.into_iter().fold(Commit::new(), Commit::delete);
                if let Err(error) = self.store().commit(remove).await {
                    tracing::warn!(%error, "private halves that nobody uses stay in the store");
                }
                return Err(error.into());
            }
            stored.extend(keys);
        }
        Ok(())
    }

    async fn backup_key(
        &self,
        layout: &Layout<'_>,
    ) -> Result<(SoftwareSigner, KeyName), TransitError> {
        let make = async {
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

fn in_software_only(key: &TransitKey) -> Result<(), TransitError> {
    if key.protection == Protection::Software {
        return Ok(());
    }
    Err(TransitError::Refused(
        "the key is in the HSM and cannot be taken out: use the vendor's tools".into(),
    ))
}
