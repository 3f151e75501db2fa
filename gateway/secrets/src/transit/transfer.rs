//! Exports keys wrapped to another key of the mount, and backs up and restores keys.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_access::Caller;
use chancery_identity::RequestContext;
use chancery_keys::KeyName;
use chancery_keys::software::{self, AES_KEY_BYTES, OaepHash, SoftwareSigner};
use chancery_store::Commit;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cost::Cost;
use super::custody::material;
use super::encoding::from_base64;
use super::import::taken;
use super::parts::Parts;
use super::record::KeyVersion;
use super::storage::Loaded;
use super::{Protection, Transit, TransitError, TransitKey, TransitKeyName};

/// What a backup begins with.
const BACKUP: &str = "chancery:backup:v1:";

/// The longest backup, in bytes: with what is around it, a request to restore it is one that is taken.
const MAX_BACKUP_BYTES: usize = 30 * 1024 * 1024;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
struct Backup {
    /// What the key was called; backups of earlier releases do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<TransitKeyName>,
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
            Ok(loaded) => self.backed_up(context, name, loaded.key).await,
            Err(error) => Err(error),
        };
        using.allowed.finish(backup).await
    }

    async fn backed_up(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        key: TransitKey,
    ) -> Result<String, TransitError> {
        in_software_only(&key)?;
        let layout = self.layout(&context.tenant);
        let mut backup = Backup { name: Some(name.clone()), key, material: BTreeMap::new() };
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
        let make = async {
            software::generate_secret(AES_KEY_BYTES).ok_or_else(|| {
                TransitError::Making("the system gives no random numbers".to_owned())
            })
        };
        let (signer, name) = backup_key(&self.own_secret(layout.backup()?, make).await?)?;
        let sealed = signer.wrap(&name, &plain, BACKUP.as_bytes())?;
        Ok(format!("{BACKUP}{}", STANDARD.encode(sealed)))
    }

    /// Brings a backed up key back under a name that is free, the one that it had if none is given, disabled
    /// if it was not in use then: `keys.restore`, on the name that it gets and on the one that it had, so that a
    /// rule about a key is one about its backups, too. The policies are told what kind of key it is, whether
    /// it is exportable, and its name, `backed-up-as`. The name that it got is returned with it.
    ///
    /// # Errors
    /// See [`TransitError`].
    pub async fn restore(
        &self,
        context: &RequestContext,
        caller: &Caller,
        name: Option<&TransitKeyName>,
        backup: &str,
    ) -> Result<(TransitKeyName, TransitKey), TransitError> {
        // Opened before the policies are asked, because they are told about it. Whether it opens is told only
        // to those whom they allow it.
        let opened = self.opened(context, backup).await;
        let had = opened.as_ref().ok().and_then(|backup| backup.name.clone());
        let mut resources = vec![match name.or(had.as_ref()) {
            Some(name) => self.resource(name),
            None => format!("{}/", self.mount),
        }];
        resources
            .extend(had.as_ref().filter(|had| name != Some(had)).map(|had| self.resource(had)));
        resources.dedup();
        let facts = opened.as_ref().map_or_else(|_| vec![], Backup::facts);
        let allowed = self.ask_each(context, caller, "keys.restore", &resources, facts).await?;
        let restored = async {
            let backup = opened?;
            let name = name.cloned().or(had).ok_or_else(|| {
                TransitError::Refused(
                    "this backup does not say what the key was called: give a name (restore/NAME)"
                        .into(),
                )
            })?;
            let key = self.restored(context, &name, backup).await?;
            Ok((name, key))
        };
        let restored = restored.await;
        allowed.finish(restored).await
    }

    /// What is in a backup that was made here.
    async fn opened(&self, context: &RequestContext, backup: &str) -> Result<Backup, TransitError> {
        let unreadable = || TransitError::Refused("this is no backup of a key".into());
        let of_another = || {
            TransitError::Refused("the backup was made by another mount, tenant or gateway".into())
        };
        let custody = self.custody()?;
        let sealed = backup.trim().strip_prefix(BACKUP).ok_or_else(unreadable)?.to_owned();
        let key = self.store().get(&self.layout(&context.tenant).backup()?).await?;
        // Without one, none was made here.
        let key = Zeroizing::new(key.ok_or_else(of_another)?.value.to_vec());
        let (signer, name) = backup_key(&key)?;
        let open = move || {
            let sealed = from_base64(&sealed).ok_or_else(unreadable)?;
            let plain = signer.unwrap(&name, &sealed, BACKUP.as_bytes());
            serde_json::from_slice(&plain.map_err(|_| of_another())?).map_err(|_| unreadable())
        };
        custody.compute(Cost::of_bytes(backup.len()), open).await
    }

    async fn restored(
        &self,
        context: &RequestContext,
        name: &TransitKeyName,
        backup: Backup,
    ) -> Result<TransitKey, TransitError> {
        let layout = self.layout(&context.tenant);
        if layout.load(self.store(), name).await?.is_some() {
            return Err(taken());
        }
        let Backup { mut key, material, .. } = backup;
        if key.state != super::State::Enabled {
            key.state = super::State::Disabled;
        }
        let mut materials = vec![];
        for (number, version) in &mut key.versions {
            // The key that was backed up may still be there, and each has to end alone.
            version.held_as = KeyVersion::new(self.now())?.held_as;
            if let Some(text) = material.get(number) {
                let bytes = STANDARD.decode(text.as_bytes());
                let bytes = bytes
                    .map_err(|_| TransitError::Refused("this is no backup of a key".into()))?;
                materials.push((layout.material(version)?, Zeroizing::new(bytes)));
            }
        }
        let parts = Parts { record: layout.put(name, None, &key)?, materials };
        parts.keep(self.store(), &context.tenant, self.now(), Commit::MAX_BYTES).await?;
        Ok(key)
    }
}

impl Backup {
    /// What policies and the audit log are told of it.
    fn facts(&self) -> Vec<(String, String)> {
        let TransitKey { key_type, protection, settings, .. } = &self.key;
        let name = self.name.iter().map(|name| ("backed-up-as".to_owned(), name.to_string()));
        let facts = [
            ("key-type".to_owned(), key_type.to_string()),
            ("protection".to_owned(), protection.as_str().to_owned()),
            ("exportable".to_owned(), settings.exportable.to_string()),
        ];
        facts.into_iter().chain(name).collect()
    }
}

/// What wraps and unwraps backups with this key, and under which name.
fn backup_key(key: &Zeroizing<Vec<u8>>) -> Result<(SoftwareSigner, KeyName), TransitError> {
    let name: KeyName = "backup".parse().map_err(|_| TransitError::NotFound)?;
    let signer = SoftwareSigner::new();
    let taken = signer.insert_wrapping_key(name.clone(), key);
    taken.map_err(|error| TransitError::Broken(error.to_string()))?;
    Ok((signer, name))
}

fn in_software_only(key: &TransitKey) -> Result<(), TransitError> {
    if key.protection == Protection::Software {
        return Ok(());
    }
    Err(TransitError::Refused(
        "the key is in the HSM and cannot be taken out: use the vendor's tools".into(),
    ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::transit::{KeySettings, TransitKeyType};

    #[test]
    fn a_backup_of_an_earlier_release_does_not_say_its_name() {
        let first = KeyVersion::new(Timestamp::UNIX_EPOCH).unwrap();
        let kind = (TransitKeyType::Aes256Gcm96, Protection::Software);
        let key = TransitKey::new(kind, KeySettings::default(), first);
        let earlier = serde_json::json!({ "key": key, "material": { "1": "AAAA" } });
        let backup: Backup = serde_json::from_value(earlier).unwrap();
        assert_eq!(backup.name, None);
        let facts: Vec<_> = backup.facts().into_iter().map(|(name, _)| name).collect();
        assert_eq!(facts, ["key-type", "protection", "exportable"]);
        let named = Backup { name: Some("orders".parse().unwrap()), ..backup };
        assert_eq!(named.facts().pop().unwrap(), ("backed-up-as".to_owned(), "orders".to_owned()));
    }
}
