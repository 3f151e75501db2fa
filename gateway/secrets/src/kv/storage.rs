//! The storage keys and the encoding of key-value records.

use bytes::Bytes;
use chancery_identity::TenantId;
use chancery_store::{Check, Commit, InvalidKey, Key, Record, Store};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Folder, KvConfig, KvError, SecretData, SecretMetadata, SecretPath};
use crate::MountName;

/// Where the records of one mount of one tenant are. Paths of a tenant are never joined with another's
/// name, so no path reaches over the wall.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) mount: &'a MountName,
}

impl Layout<'_> {
    /// The metadata of one secret. Listings scan these.
    pub(crate) fn metadata(&self, path: &SecretPath) -> Result<Key, InvalidKey> {
        Key::new(format!("{}{path}", self.metadata_prefix()))
    }

    /// What the metadata keys of a folder begin with.
    pub(crate) fn folder(&self, folder: &Folder) -> String {
        format!("{}{}", self.metadata_prefix(), folder.as_str())
    }

    fn metadata_prefix(&self) -> String {
        format!("{}/secrets/kv-metadata/{}/", self.tenant, self.mount)
    }

    /// The value of one version. By the secret's id and not its path: ids are time-ordered, which
    /// keeps new records together, and a path that is used again does not find old values.
    pub(crate) fn version(&self, secret: Uuid, number: u64) -> Result<Key, InvalidKey> {
        let (tenant, mount, secret) = (self.tenant, self.mount, secret.simple());
        Key::new(format!("{tenant}/secrets/kv-version/{mount}/{secret}/{number:010}"))
    }

    /// The settings of the mount.
    pub(crate) fn config(&self) -> Result<Key, InvalidKey> {
        Key::new(format!("{}/secrets/kv-config/{}", self.tenant, self.mount))
    }
}

/// Something read from the store, and what has to hold for a commit that is based on it.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    pub(crate) check: Check,
}

impl<T> Loaded<T> {
    /// A commit that happens only if what was read still stands.
    pub(crate) fn commit(&self) -> Commit {
        Commit::new().check(self.check.clone())
    }
}

/// The metadata at `key`, if there is any.
pub(crate) async fn load_metadata(
    store: &dyn Store,
    key: &Key,
) -> Result<Loaded<Option<SecretMetadata>>, KvError> {
    let record = store.get(key).await?;
    let value = record.as_ref().map(parse).transpose()?;
    let expected = record.map(|record| record.version);
    Ok(Loaded { value, check: Check { key: key.clone(), expected } })
}

/// The mount's settings; the defaults if nobody set any.
pub(crate) async fn load_config(store: &dyn Store, key: &Key) -> Result<Loaded<KvConfig>, KvError> {
    let record = store.get(key).await?;
    let value = record.as_ref().map(parse).transpose()?.unwrap_or_default();
    let expected = record.map(|record| record.version);
    Ok(Loaded { value, check: Check { key: key.clone(), expected } })
}

fn parse<'a, T: Deserialize<'a>>(record: &'a Record) -> Result<T, KvError> {
    serde_json::from_slice(&record.value).map_err(|_| KvError::Record(record.key.to_string()))
}

/// A record's bytes for anything but a value.
pub(crate) fn encode(key: &Key, value: &impl Serialize) -> Result<Vec<u8>, KvError> {
    serde_json::to_vec(value).map_err(|_| KvError::Record(key.to_string()))
}

/// The record of one version.
#[derive(Serialize, Deserialize)]
struct VersionRecord<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A value as a record's bytes, which are wiped when the last owner drops them.
pub(crate) fn encode_data(data: &SecretData) -> Bytes {
    const BEFORE: &str = r#"{"data":"#;
    const AFTER: &str = "}";
    let json = data.as_json();
    let room = BEFORE.len().saturating_add(json.len()).saturating_add(AFTER.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    for part in [BEFORE, json, AFTER] {
        bytes.extend_from_slice(part.as_bytes());
    }
    Bytes::from_owner(bytes)
}

/// The value at `key`, if there is any.
pub(crate) async fn load_data(store: &dyn Store, key: &Key) -> Result<Option<SecretData>, KvError> {
    let Some(record) = store.get(key).await? else { return Ok(None) };
    let not_ours = || KvError::Record(record.key.to_string());
    let version: VersionRecord<'_> =
        serde_json::from_slice(&record.value).map_err(|_| not_ours())?;
    SecretData::from_stored(version.data).map(Some).ok_or_else(not_ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MAX_PATH_BYTES;

    #[test]
    fn the_longest_path_has_a_key() {
        let tenant: TenantId = "t".repeat(63).parse().unwrap();
        let mount: MountName = "m".repeat(64).parse().unwrap();
        let layout = Layout { tenant: &tenant, mount: &mount };
        let path = SecretPath::parse(&"p".repeat(MAX_PATH_BYTES)).unwrap();
        assert!(layout.metadata(&path).is_ok());
        assert!(layout.version(Uuid::max(), u64::MAX).is_ok());
    }

    #[test]
    fn a_value_survives_the_round_trip_letter_by_letter() {
        let data = SecretData::from_json(r#"{"n":1.10,"s":"\u00e9"}"#).unwrap();
        let bytes = encode_data(&data);
        let record: VersionRecord<'_> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(record.data.get(), data.as_json());
    }
}
