//! The records of a CA in the store, and their storage keys.

use bytes::Bytes;
use chancery_keys::KeyName;
use chancery_records::{Fence, Recorded, Table};
use chancery_store::{Commit, CommitError, Key, ReadError, Record, SharedStore, Store, Version};
use chancery_x509::{RevocationReason, RevokedEntry, Serial};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::OpenError;

/// The CA's place in the store: `_/ca/NAME/...` and, for software keys, `_/ca/key/...`.
#[derive(Clone)]
pub(crate) struct Records {
    prefix: String,
    store: SharedStore,
}

/// What is known of the CA. The plan is stored before keys are made, so that an interrupted first
/// start finds in the token the very keys that it had begun with, and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum AuthorityRecord {
    Planned {
        root_key: KeyName,
        issuing_key: KeyName,
    },
    /// A key is there, and another CA is to certify it.
    Requested {
        issuing_key: KeyName,
    },
    Made(MadeRecord),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeRecord {
    /// What issues.
    #[serde(flatten)]
    pub(crate) current: GenerationRecord,
    /// What issued before, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former: Vec<GenerationRecord>,
    /// A key that is to issue next and has no certificate yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<KeyName>,
}

/// An issuing key with what is above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    pub(crate) root: RootRecord,
    pub(crate) issuing: CertifiedKey,
    /// Certificates between the issuing CA's and the root's, in that order; DER in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) above: Vec<String>,
    /// Further chains for those who trust other roots: from the issuing CA's certificate to the one below
    /// the root, DER in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alternates: Vec<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootRecord {
    /// The root's key, if it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyName>,
    /// DER in hex.
    pub(crate) certificate: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertifiedKey {
    pub(crate) key: KeyName,
    /// DER in hex.
    pub(crate) certificate: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevocationRecord {
    pub(crate) serial: Serial,
    pub(crate) at: Timestamp,
    pub(crate) reason: RevocationReason,
    /// Last second of the certificate's validity; unknown of what was revoked by older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<Timestamp>,
}

/// Where shards of the issuing CA's CRL were said to be in certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DistributionRecord {
    /// What their URLs begin with.
    pub(crate) base: String,
    /// How many there were.
    pub(crate) shards: u32,
}

/// The last CRL of an issuer. Its number counts on over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CrlRecord {
    pub(crate) number: u64,
    /// The CRL itself, where it cannot be made again without the root's key; DER in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<KeptCrl>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptCrl {
    pub(crate) der: String,
    pub(crate) next_update: Timestamp,
}

/// A CRL that is published, as gateways keep it for each other: a line of JSON, and the CRL in DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedCrl {
    pub(crate) number: u64,
    /// When a new one is due, without any revocation.
    pub(crate) renew_at: Timestamp,
    /// It has the revocations up to this commit.
    pub(crate) covers: u64,
    /// Of a complete CRL: the one that deltas begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Base>,
    /// Empty if it is too large to be kept: each gateway makes its own.
    #[serde(skip)]
    pub(crate) der: Bytes,
}

/// The complete CRL that deltas begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
}

impl Default for PublishedCrl {
    /// A CRL that was never made. It is due at once.
    fn default() -> Self {
        let renew_at = Timestamp::UNIX_EPOCH;
        Self { number: 0, renew_at, covers: 0, base: None, der: Bytes::new() }
    }
}

impl Recorded for PublishedCrl {
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, der) =
            end.and_then(|end| bytes.split_at_checked(end)).ok_or("it has one line")?;
        let crl: Self = serde_json::from_slice(head).map_err(|error| error.to_string())?;
        let der = der.get(1..).unwrap_or_default();
        Ok(Self { der: Bytes::copy_from_slice(der), ..crl })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.der);
        Ok(bytes)
    }
}

/// A record's storage key does not hold what it should.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) record: String,
    pub(crate) reason: String,
}

impl Records {
    pub(crate) fn new(name: &str, store: SharedStore) -> Result<Self, OpenError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(allowed) {
            return Err(OpenError::Name(name.to_owned()));
        }
        Ok(Self { prefix: format!("_/ca/{name}"), store })
    }

    pub(crate) fn authority_key(&self) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/authority", self.prefix))?)
    }

    /// Where the number of the CRL with this name is.
    pub(crate) fn crl_key(&self, name: &str) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/crl/{name}", self.prefix))?)
    }

    /// The CRLs that gateways keep for each other, by name.
    pub(crate) fn published_table(&self) -> Table<PublishedCrl> {
        Table::new(self.store.clone(), format!("{}/published/", self.prefix))
    }

    /// The same for work under a lease.
    pub(crate) fn under(&self, fence: &Fence) -> Self {
        Self { prefix: self.prefix.clone(), store: fence.over(&self.store) }
    }

    /// That an offline root has signed a certificate with this number.
    pub(crate) fn signed_key(&self, serial: &Serial) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/signed/{serial}", self.prefix))?)
    }

    pub(crate) fn transcript_key(&self, number: u64) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/transcript/{number:010}", self.prefix))?)
    }

    /// The lines of an offline root's transcript, in order.
    pub(crate) async fn transcript(&self) -> Result<Vec<Record>, ReadError> {
        // A root does a few things a year.
        const MOST: usize = 100_000;
        let prefix = format!("{}/transcript/", self.prefix);
        self.store.scan(prefix.as_bytes(), None, MOST).await
    }

    pub(crate) fn distribution_key(&self) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/crl-shards", self.prefix))?)
    }

    pub(crate) fn revocation_key(&self, issuer: &str, serial: &Serial) -> Result<Key, ReadError> {
        Ok(Key::new(format!("{}/revoked/{issuer}/{serial}", self.prefix))?)
    }

    /// Where the PKCS#8 of a software key is. Sealed like everything in the store.
    pub(crate) fn private_key(name: &KeyName) -> Result<Key, ReadError> {
        Ok(Key::new(format!("_/ca/key/{name}"))?)
    }

    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Record>, ReadError> {
        self.store.get(key).await
    }

    /// The second since 1970 at which the store was put back to an earlier state, if it ever was.
    pub(crate) async fn restored(&self) -> Result<Option<u64>, ReadError> {
        chancery_store::restored::last(&*self.store).await
    }

    pub(crate) async fn read_private_key(
        &self,
        name: &KeyName,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, ReadError> {
        let record = self.store.get(&Self::private_key(name)?).await?;
        Ok(record.map(|record| Zeroizing::new(record.value.to_vec())))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Result<Version, CommitError> {
        self.store.commit(commit).await
    }

    /// The revocations of this issuer, by serial number.
    pub(crate) fn revocation_table(&self, issuer: &str) -> Table<RevocationRecord> {
        Table::new(self.store.clone(), format!("{}/revoked/{issuer}/", self.prefix))
    }
}

impl Recorded for RevocationRecord {}

/// The DER of a certificate in a record.
pub(crate) fn certificate(hex: &str) -> Result<Vec<u8>, OpenError> {
    hex::decode(hex).map_err(|_| OpenError::Mismatch("a stored certificate is not in hex"))
}

pub(crate) fn decode<T: DeserializeOwned>(record: &Record) -> Result<T, Damaged> {
    serde_json::from_slice(&record.value)
        .map_err(|e| Damaged { record: record.key.to_string(), reason: e.to_string() })
}

/// Encoding these records cannot fail: their keys are text and their values finite.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, CommitError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| CommitError::Unavailable(e.to_string()))
}

impl From<Damaged> for OpenError {
    fn from(damaged: Damaged) -> Self {
        Self::Record { record: damaged.record, reason: damaged.reason }
    }
}

impl From<RevocationRecord> for RevokedEntry {
    fn from(record: RevocationRecord) -> Self {
        Self { serial: record.serial, at: record.at, reason: record.reason }
    }
}
