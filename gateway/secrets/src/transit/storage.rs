//! Where the records of transit keys are in the store, and the index of keys that are due.

use bytes::Bytes;
use chancery_identity::TenantId;
use chancery_store::{Commit, InvalidKey, Key, Record, Store, Version};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{KeyVersion, TransitError, TransitKey, TransitKeyName};
use crate::MountName;

/// What index entries of keys begin with to which something happens by itself, in the order of time.
pub(super) const DUE: &str = "_/secrets/transit-due/";

/// Whether this is the key of an index entry, which says everything: its value is empty.
pub fn is_index(key: &Key) -> bool {
    key.as_bytes().starts_with(DUE.as_bytes())
}

/// Where the records of one mount of one tenant are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) mount: &'a MountName,
}

/// A key's record as it was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: TransitKey,
    pub(super) version: Version,
}

impl Loaded {
    /// The key in a record.
    pub(super) fn of(record: &Record) -> Result<Self, TransitError> {
        let key = serde_json::from_slice(&record.value)
            .map_err(|_| TransitError::Record(record.key.to_string()))?;
        Ok(Self { key, version: record.version })
    }
}

impl Layout<'_> {
    pub(super) fn key(&self, name: &TransitKeyName) -> Result<Key, InvalidKey> {
        Key::new(format!("{}{name}", self.keys()))
    }

    /// What all keys' records begin with.
    pub(super) fn keys(&self) -> String {
        format!("{}{}/", keys_of_tenant(self.tenant), self.mount)
    }

    /// The private half or the secret of one version.
    pub(super) fn material(&self, version: &KeyVersion) -> Result<Key, InvalidKey> {
        Key::new(format!("{}/secrets/transit-material/{}", self.tenant, version.held_as))
    }

    /// The RSA key to which keys are wrapped that are brought in.
    pub(super) fn wrapping(&self) -> Result<Key, InvalidKey> {
        Key::new(format!("{}/secrets/transit-wrapping/{}", self.tenant, self.mount))
    }

    /// The name of the RSA key in the HSM to which keys are wrapped that only the HSM unwraps.
    pub(super) fn wrapping_in_hsm(&self) -> Result<Key, InvalidKey> {
        Key::new(format!("{}/secrets/transit-hsm-wrapping/{}", self.tenant, self.mount))
    }

    /// The key of backups.
    pub(super) fn backup(&self) -> Result<Key, InvalidKey> {
        Key::new(format!("{}/secrets/transit-backup/{}", self.tenant, self.mount))
    }

    pub(super) fn due(&self, at: Timestamp, name: &TransitKeyName) -> Result<Key, InvalidKey> {
        let (tenant, mount) = (self.tenant, self.mount);
        Key::new(format!("{DUE}{:012}/{tenant}/{mount}/{name}", at.as_second().max(0)))
    }

    /// The key with this name, if there is one.
    pub(super) async fn load(
        &self,
        store: &dyn Store,
        name: &TransitKeyName,
    ) -> Result<Option<Loaded>, TransitError> {
        store.get(&self.key(name)?).await?.as_ref().map(Loaded::of).transpose()
    }

    /// A commit that writes a key's record, with its place among those that are due, if it is still as
    /// it was read.
    pub(super) fn put(
        &self,
        name: &TransitKeyName,
        before: Option<&Loaded>,
        key: &TransitKey,
    ) -> Result<Commit, TransitError> {
        let at = self.key(name)?;
        let value = serde_json::to_vec(key).map_err(|_| TransitError::Record(at.to_string()))?;
        let mut commit = self.unless_changed(name, before)?;
        if let Some(due) = key.due() {
            commit = commit.put(self.due(due, name)?, "");
        }
        Ok(commit.put(at, value))
    }

    /// A commit that removes a key with all of its versions, if it is still as it was read.
    pub(super) fn remove(
        &self,
        name: &TransitKeyName,
        before: &Loaded,
    ) -> Result<Commit, TransitError> {
        let mut commit = self.unless_changed(name, Some(before))?.delete(self.key(name)?);
        for version in before.key.versions.values() {
            commit = commit.delete(self.material(version)?);
        }
        Ok(commit)
    }

    fn unless_changed(
        &self,
        name: &TransitKeyName,
        before: Option<&Loaded>,
    ) -> Result<Commit, TransitError> {
        let key = self.key(name)?;
        let Some(before) = before else { return Ok(Commit::new().check_absent(key)) };
        let commit = Commit::new().check_version(key, before.version);
        Ok(match before.key.due() {
            Some(due) => commit.delete(self.due(due, name)?),
            None => commit,
        })
    }
}

/// Secret bytes as a record's value, wiped when the last owner drops them.
pub(super) fn secret(bytes: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from_owner(bytes)
}

/// What the records of a tenant's keys begin with, on all mounts.
pub(super) fn keys_of_tenant(tenant: &TenantId) -> String {
    format!("{tenant}/secrets/transit-key/")
}

/// Mount and name of the key whose record is there.
pub(super) fn parse_key(tenant: &TenantId, key: &Key) -> Option<(MountName, TransitKeyName)> {
    let text = std::str::from_utf8(key.as_bytes()).ok()?;
    let (mount, name) = text.strip_prefix(&keys_of_tenant(tenant))?.split_once('/')?;
    Some((mount.parse().ok()?, name.parse().ok()?))
}

/// Tenant, mount and name in an entry of [`DUE`], and its time; none if this program writes no such entry. One with
/// another form of the time would not be in the order of time.
pub(super) fn parse_due(key: &Key) -> Option<(i64, TenantId, MountName, TransitKeyName)> {
    let mut parts = std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix(DUE)?.splitn(4, '/');
    let time = parts.next()?;
    let at: i64 = time.parse().ok()?;
    if time != format!("{at:012}") {
        return None;
    }
    Some((
        at,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_what_is_due_says_what_it_is_about() {
        let (tenant, mount) = ("acme".parse().unwrap(), "transit".parse().unwrap());
        let layout = Layout { tenant: &tenant, mount: &mount };
        let name: TransitKeyName = "Orders_1.x".parse().unwrap();
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let key = layout.due(at, &name).unwrap();
        assert_eq!(parse_due(&key), Some((1_800_000_000, tenant, mount, name)));
        for other in
            ["x", "0/acme/transit/k", "!00000000001/acme/transit/k", "0001800000000000/a/b/c"]
        {
            let other = Key::new(format!("{DUE}{other}")).unwrap();
            assert_eq!(parse_due(&other), None, "{other}");
        }
    }
}
