//! The record of a transit key: its state, its settings and its versions, without secrets.

use std::collections::BTreeMap;

use chancery_keys::KeyName;
use chancery_x509::{PublicKey, pem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeySettings, Protection, TransitError, TransitKeyType};
use crate::id::time_ordered_id;

/// A key with its versions, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitKey {
    /// What kind of key it is.
    pub key_type: TransitKeyType,
    /// Where it is kept.
    pub protection: Protection,
    /// Whether it can be used.
    pub state: State,
    /// What may be done with it.
    pub settings: KeySettings,
    /// Whether its first version was brought in.
    pub imported: bool,
    /// Number of the newest version.
    pub latest: u64,
    /// By number. Trimmed versions are missing.
    pub versions: BTreeMap<u64, KeyVersion>,
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// When it was made or brought in.
    pub created: Timestamp,
    /// The name under which its holder, and the store, have it. A name is never used again, so it always
    /// stands for this version.
    pub(super) held_as: KeyName,
    /// The public half, as DER `SubjectPublicKeyInfo` in hex; none for a secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    /// Whether there is only the public half.
    #[serde(default)]
    pub public_only: bool,
}

/// The state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum State {
    /// It can be used.
    Enabled,
    /// It cannot be used until somebody enables it.
    Disabled,
    /// It cannot be used, and is destroyed at this time unless somebody restores it.
    Deleted {
        /// When.
        destroyed_at: Timestamp,
    },
}

impl State {
    /// The name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Deleted { .. } => "deleted",
        }
    }
}

impl KeyVersion {
    /// A version that is made at this time.
    pub(super) fn new(created: Timestamp) -> Result<Self, TransitError> {
        let name = format!("transit-{}", time_ordered_id(created).simple());
        let held_as = name.parse().map_err(|_| TransitError::Record(name))?;
        Ok(Self { created, held_as, public: None, public_only: false })
    }

    /// The same with its public half.
    pub(super) fn with_public(mut self, public: Option<&PublicKey>) -> Self {
        self.public = public.map(|key| hex::encode(key.spki_der()));
        self
    }

    /// The most bytes that it takes in JSON.
    pub(super) fn record_bytes(&self) -> usize {
        self.public.as_ref().map_or(0, String::len) + 256
    }

    /// The public half; none for a secret key.
    pub fn public_key(&self) -> Option<PublicKey> {
        let der = hex::decode(self.public.as_ref()?).ok()?;
        PublicKey::from_spki_der(&der).ok()
    }

    /// The same in PEM.
    pub fn public_key_pem(&self) -> Option<String> {
        self.public_key().map(|key| pem::encode(pem::PUBLIC_KEY, key.spki_der()))
    }
}

impl TransitKey {
    /// The first version, just made.
    pub(super) fn new(
        kind: (TransitKeyType, Protection),
        settings: KeySettings,
        first: KeyVersion,
    ) -> Self {
        Self {
            key_type: kind.0,
            protection: kind.1,
            state: State::Enabled,
            settings,
            imported: false,
            latest: 1,
            versions: BTreeMap::from([(1, first)]),
        }
    }

    /// The oldest version that is left.
    pub fn oldest(&self) -> u64 {
        self.versions.first_key_value().map_or(self.latest, |(number, _)| *number)
    }

    /// Refuses unless the key can be used.
    ///
    /// # Errors
    /// [`TransitError::NotEnabled`].
    pub(super) fn expect_enabled(&self) -> Result<(), TransitError> {
        match self.state {
            State::Enabled => Ok(()),
            State::Disabled => Err(TransitError::NotEnabled("disabled: enable it first")),
            State::Deleted { .. } => {
                Err(TransitError::NotEnabled("deleted: bring it back before it is destroyed"))
            }
        }
    }

    /// The version that encrypts or signs: the latest, or the requested one.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if that version is not allowed, or does not exist.
    pub(super) fn making(&self, asked: Option<u64>) -> Result<u64, TransitError> {
        let number = asked.filter(|number| *number != 0).unwrap_or(self.latest);
        let least = match self.settings.min_encryption_version {
            // A client's `key_version` may name an older version if nothing forbids it.
            0 => self.settings.min_decryption_version,
            least => least,
        };
        if number < least {
            return Err(refused(number, "is before min_encryption_version"));
        }
        self.version(number).map(|_| number)
    }

    /// The version with this number, if it may decrypt or verify.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if it is not allowed, or does not exist.
    pub(super) fn reading(&self, number: u64) -> Result<&KeyVersion, TransitError> {
        if number < self.settings.min_decryption_version {
            return Err(refused(number, "is before min_decryption_version"));
        }
        self.version(number)
    }

    /// The version with this number, whether it may be used or not.
    pub(super) fn version(&self, number: u64) -> Result<&KeyVersion, TransitError> {
        self.versions.get(&number).ok_or_else(|| refused(number, "is not there"))
    }

    /// Adds a version, which becomes the latest.
    pub(super) fn add(&mut self, version: KeyVersion) {
        self.latest += 1;
        self.versions.insert(self.latest, version);
    }

    /// When the next version is made by itself.
    pub fn next_rotation(&self) -> Option<Timestamp> {
        let period = self.settings.rotation_period;
        let brought_in = self.imported && !self.settings.allow_rotation;
        let latest = self.versions.get(&self.latest)?;
        if period.is_zero() || brought_in { None } else { latest.created.checked_add(period).ok() }
    }

    /// The next time at which something happens to it by itself.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self.state {
            State::Enabled => self.next_rotation(),
            State::Disabled => None,
            State::Deleted { destroyed_at } => Some(destroyed_at),
        }
    }
}

fn refused(number: u64, why: &str) -> TransitError {
    TransitError::Refused(format!("version {number} of the key {why}").into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chancery_keys::KeyType;
    use chancery_keys::software::{SoftwareSigner, generate};

    use super::*;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn key() -> TransitKey {
        let first = KeyVersion::new(start()).unwrap();
        let kind = (TransitKeyType::Aes256Gcm96, Protection::Software);
        let mut key = TransitKey::new(kind, KeySettings::default(), first);
        key.add(KeyVersion::new(start()).unwrap());
        key.add(KeyVersion::new(start()).unwrap());
        key
    }

    #[test]
    fn versions_make_and_read_within_the_settings() {
        let mut key = key();
        assert_eq!(key.making(None).unwrap(), 3);
        assert_eq!(key.making(Some(0)).unwrap(), 3);
        assert_eq!(key.making(Some(1)).unwrap(), 1);
        assert!(key.making(Some(4)).is_err());
        key.settings.min_decryption_version = 2;
        assert!(key.making(Some(1)).is_err() && key.reading(1).is_err());
        assert!(key.making(Some(2)).is_ok() && key.reading(2).is_ok());
        key.settings.min_encryption_version = 3;
        assert!(key.making(Some(2)).is_err() && key.reading(2).is_ok());
    }

    #[test]
    fn what_is_due_depends_on_the_state() {
        let mut key = key();
        assert_eq!(key.due(), None);
        key.settings.rotation_period = Duration::from_hours(24);
        let tomorrow: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(key.due(), Some(tomorrow));
        key.imported = true;
        key.settings.allow_rotation = false;
        assert_eq!(key.due(), None);
        key.state = State::Deleted { destroyed_at: tomorrow };
        assert_eq!(key.due(), Some(tomorrow));
        assert!(key.expect_enabled().is_err());
    }

    #[test]
    fn the_public_half_survives_the_record() {
        let signer = SoftwareSigner::new();
        let pkcs8 = generate(KeyType::EcdsaP256).unwrap();
        let public = signer.insert_pkcs8("k".parse().unwrap(), pkcs8).unwrap();
        let version = KeyVersion::new(start()).unwrap().with_public(Some(&public));
        let json = serde_json::to_string(&version).unwrap();
        let read: KeyVersion = serde_json::from_str(&json).unwrap();
        assert_eq!(read.public_key(), Some(public));
    }
}
