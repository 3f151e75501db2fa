//! The store that seals every value before it is written, and rotates the tenants' keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chancery_store::{
    BoxFuture, Commit, CommitError, InvalidKey, Key, ReadError, Record, SharedStore, Store,
    Version, Watch, Write,
};
use jiff::Timestamp;

use crate::backup::BackupKey;
use crate::envelope::{Envelope, Refused, SealingKey};
use crate::keyring::{Keyrings, damaged, unavailable};
use crate::names::{self, RESERVED};
use crate::root::RootKey;
use crate::usage::UseLimits;

/// What the check record says.
pub(crate) const CHECK_TEXT: &[u8] = b"chancery";

/// Number of the root key in what it seals.
pub(crate) const ROOT_ID: u32 = 0;

/// A [`Store`] that keeps every value sealed in another one. See the [crate](crate).
pub struct Barrier {
    inner: SharedStore,
    keyrings: Keyrings,
    backup_key: BackupKey,
}

/// Why a store could not be unsealed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store was sealed with another root key.
    #[error("{}", wrong_root(origin, id, sealed_with.as_deref()))]
    WrongRootKey {
        /// Where the key came from.
        origin: String,
        /// What tells it from others.
        id: String,
        /// The same of the one that the store was sealed with, if that is on record.
        sealed_with: Option<String>,
    },
    /// The root key is the right one, and the record that would show it is damaged.
    #[error("the record {} is damaged: `chancery store repair` makes it anew", names::CHECK)]
    DamagedCheck,
    /// The store holds records but was never sealed, or lost the record that would tell.
    #[error(
        "the store holds {key} but no {}: it was not written through a barrier, or it was damaged",
        names::CHECK
    )]
    NotSealed {
        /// A record that should not be there.
        key: Key,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Barrier {
    /// Unseals the records in `inner`. An empty store is sealed with `root` from now on.
    ///
    /// # Errors
    /// See [`OpenError`]: above all, if `root` is not the key that the store was sealed with.
    pub async fn open(inner: SharedStore, root: RootKey) -> Result<Arc<Self>, OpenError> {
        let key = SealingKey::new(ROOT_ID, root.bytes()).map_err(unavailable)?;
        let backup_key = BackupKey::of(&root);
        let check = Key::new(names::CHECK).map_err(ReadError::from)?;
        let id_at = Key::new(names::ROOT_ID).map_err(ReadError::from)?;
        loop {
            if let Some(record) = inner.get(&check).await? {
                let opened = Envelope::parse(&record.value)
                    .and_then(|envelope| key.open(&record.key, &envelope));
                let recorded = inner.get(&id_at).await?;
                return match opened {
                    Ok(text) if **text == *CHECK_TEXT => {
                        if recorded.is_none() {
                            // Sealed by an earlier release.
                            inner.commit(Commit::new().put(id_at, root.id())).await?;
                        }
                        let keyrings = Keyrings::new(inner.clone(), key, UseLimits::AES_GCM);
                        Ok(Arc::new(Self { inner, keyrings, backup_key }))
                    }
                    _ => Err(refused(&root, recorded.as_ref())),
                };
            }
            refuse_unsealed(&*inner).await?;
            let sealed = key.seal(&check, CHECK_TEXT).map_err(unavailable)?;
            let first = Commit::new()
                .check_absent(check.clone())
                .put(check.clone(), sealed)
                .put(id_at.clone(), root.id());
            match inner.commit(first).await {
                // Another process that opens the same store may have been first.
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The tenants that have a key, by the first segments of their records' keys.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn tenants(&self) -> Result<BTreeSet<Vec<u8>>, ReadError> {
        self.keyrings.tenants().await
    }

    /// Gives `tenant` (the first segment of its records' keys) a new key, and returns its number.
    /// What is written from now on is sealed under it; what was written before stays readable as it
    /// is. Due before a key has sealed 2^32 records (NIST SP 800-38D §8.3).
    ///
    /// # Errors
    /// As for [`Store::commit`], and if a later key of the tenant is missing.
    pub async fn rotate(&self, tenant: &[u8]) -> Result<u32, CommitError> {
        self.keyrings.rotate(tenant).await
    }

    /// [Rotates](Self::rotate) the key of every tenant that has one.
    ///
    /// # Errors
    /// As for [`Store::commit`].
    pub async fn rotate_all(&self) -> Result<(), CommitError> {
        for tenant in self.keyrings.tenants().await? {
            self.keyrings.rotate(&tenant).await?;
        }
        Ok(())
    }

    /// Gives `tenant` a new key with a number above `last`, also if keys up to there are missing: what is sealed under
    /// them opens again when they come back, and only then. See [`Census`](crate::Census).
    ///
    /// # Errors
    /// As for [`Store::commit`], and if a key of the tenant is there and does not open.
    pub async fn renew(&self, tenant: &[u8], last: u32) -> Result<(), CommitError> {
        self.keyrings.renew(tenant, last).await
    }

    /// The key under which backups of this store are authentic.
    pub(crate) fn backup_key(&self) -> &BackupKey {
        &self.backup_key
    }

    /// Makes sure that a record of the inner store opens.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] with the key of what is to be mended: the record's own, or that of its tenant's key.
    pub async fn verify(&self, sealed: &Record) -> Result<(), ReadError> {
        if is_reserved(&sealed.key) {
            self.keyrings.verify(sealed)
        } else {
            self.open_record(sealed.clone()).await.map(drop)
        }
    }

    /// Rotates the key of each tenant whose current one has been in use for `longest` at `now`, both in seconds, and
    /// begins to count for those that were made since the last call. To be called every now and then; keys that
    /// have sealed as often as they may are replaced by themselves. Returns how many there were.
    ///
    /// # Errors
    /// As for [`Store::commit`]; those that were rotated before stay so.
    pub async fn rotate_due(&self, now: u64, longest: u64) -> Result<usize, CommitError> {
        self.keyrings.rotate_due(now, longest).await
    }

    async fn open_record(&self, sealed: Record) -> Result<Record, ReadError> {
        let refused = |reason| damaged(&sealed.key, reason);
        let envelope = Envelope::parse(&sealed.value).map_err(refused)?;
        let keyring = self.keyrings.with_key(sealed.key.first_segment(), envelope.key_id).await?;
        let key = keyring
            .get(envelope.key_id)
            .ok_or_else(|| refused(Refused::NoSuchKey(envelope.key_id)))?;
        let plaintext = key.open(&sealed.key, &envelope).map_err(refused)?;
        // Wiped when the last copy of the record is dropped.
        Ok(Record { value: Bytes::from_owner(plaintext), ..sealed })
    }

    async fn seal_commit(&self, commit: &Commit) -> Result<Commit, CommitError> {
        commit.check_size()?;
        let mut sealed = Commit::new();
        for check in commit.checks() {
            refuse_reserved(&check.key)?;
            sealed = sealed.check(check.clone());
        }
        for (key, write) in commit.writes() {
            refuse_reserved(key)?;
            let write = match write {
                Write::Put(value) => {
                    let keyring = self.keyrings.for_sealing(key.first_segment()).await?;
                    let current = keyring.current().ok_or_else(|| no_key(key))?;
                    Write::Put(current.seal(key, value).map_err(unavailable)?)
                }
                Write::Delete => Write::Delete,
            };
            sealed = sealed.write(key.clone(), write);
        }
        Ok(sealed)
    }
}

impl Store for Barrier {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, ReadError>> {
        Box::pin(async move {
            if is_reserved(key) {
                return Err(ReadError::Reserved { key: key.clone() });
            }
            match self.inner.get(key).await? {
                Some(sealed) => self.open_record(sealed).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, ReadError>> {
        Box::pin(async move {
            let mut found = Vec::new();
            let mut after = after.cloned();
            loop {
                let wanted = limit - found.len();
                let page = self.inner.scan(prefix, after.as_ref(), wanted).await?;
                after = page.last().map(|record| record.key.clone());
                let ended = page.len() < wanted;
                for sealed in page {
                    if !is_reserved(&sealed.key) {
                        found.push(self.open_record(sealed).await?);
                    }
                }
                if ended || found.len() == limit {
                    return Ok(found);
                }
            }
        })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a Key>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Key>, ReadError>> {
        Box::pin(async move {
            let mut found = Vec::new();
            let mut after = after.cloned();
            loop {
                let wanted = limit - found.len();
                let page = self.inner.keys(prefix, after.as_ref(), wanted).await?;
                after = page.last().cloned();
                let ended = page.len() < wanted;
                found.extend(page.into_iter().filter(|key| !is_reserved(key)));
                if ended || found.len() == limit {
                    return Ok(found);
                }
            }
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        Box::pin(async move {
            let sealed = self.seal_commit(&commit).await?;
            self.inner.commit(sealed).await
        })
    }

    fn watch(&self, prefix: &[u8]) -> Watch {
        self.inner.watch(prefix).hiding(RESERVED)
    }

    fn now(&self) -> BoxFuture<'_, Result<Timestamp, ReadError>> {
        self.inner.now()
    }
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// Why the check does not open: the root key is another one, or the check is damaged.
fn refused(root: &RootKey, recorded: Option<&Record>) -> OpenError {
    let sealed_with = recorded.map(|record| String::from_utf8_lossy(&record.value).into_owned());
    if sealed_with.as_deref() == Some(root.id().as_str()) {
        return OpenError::DamagedCheck;
    }
    OpenError::WrongRootKey { origin: root.origin().to_owned(), id: root.id(), sealed_with }
}

fn wrong_root(origin: &str, id: &str, sealed_with: Option<&str>) -> String {
    match sealed_with {
        Some(sealed_with) => format!(
            "the root key from {origin} has the id {id}, and this store is sealed with the root key {sealed_with}: \
             use that one (it may have been changed by `chancery root-key rotate`)"
        ),
        None => format!(
            "the root key from {origin} does not open this store: use the one it was sealed with (or the record {} \
             was damaged)",
            names::CHECK
        ),
    }
}

/// Refuses to seal a store that holds records already, except those that made the root key.
async fn refuse_unsealed(inner: &dyn Store) -> Result<(), OpenError> {
    let known = [names::PASSPHRASE.as_bytes(), names::WRAPPED_ROOT.as_bytes()];
    let records = inner.scan(b"", None, known.len() + 1).await?;
    match records.into_iter().find(|record| !known.contains(&record.key.as_bytes())) {
        Some(record) => Err(OpenError::NotSealed { key: record.key }),
        None => Ok(()),
    }
}

fn is_reserved(key: &Key) -> bool {
    key.as_bytes().starts_with(RESERVED)
}

fn refuse_reserved(key: &Key) -> Result<(), CommitError> {
    if is_reserved(key) { Err(CommitError::Reserved { key: key.clone() }) } else { Ok(()) }
}

fn no_key(key: &Key) -> CommitError {
    CommitError::Damaged { key: key.clone(), reason: "its tenant has no key".to_owned() }
}

impl From<InvalidKey> for OpenError {
    fn from(error: InvalidKey) -> Self {
        Self::Read(error.into())
    }
}
