//! The tables of the file, and reading them in one state.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use ::redb::{
    AccessGuard, Database, ReadOnlyTable, ReadableDatabase, StorageError, TableDefinition,
    TableError,
};
use bytes::Bytes;

use super::guard::guarded;
use crate::{Key, OpenError, ReadError, Record, Version};

/// Key of the record to its version (8 bytes, big endian) and value.
pub(super) const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");

/// Facts about the store: [`FORMAT`] and [`NEWEST`].
pub(super) const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");

/// Fact: the number of the newest commit.
pub(super) const NEWEST: &str = "newest";

/// Fact: how the tables are to be read.
pub(super) const FORMAT: &str = "format";

pub(super) const KNOWN_FORMAT: u64 = 1;

const VERSION_LEN: usize = 8;

/// What readers go by: a snapshot, or why there is none at the moment.
#[derive(Debug, Clone)]
pub(super) struct Published {
    generation: u64,
    state: Result<Snapshot, String>,
}

impl Published {
    pub(super) fn ready(snapshot: Snapshot) -> Self {
        Self { generation: 0, state: Ok(snapshot) }
    }

    /// `state`, read through the `generation`th handle of the file.
    pub(super) fn new(generation: u64, state: Result<Snapshot, String>) -> Self {
        Self { generation, state }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, ReadError> {
        self.state.clone().map_err(ReadError::Unavailable)
    }
}

/// The records as one commit left them.
#[derive(Clone)]
pub(super) struct Snapshot {
    records: Arc<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    newest: Version,
}

/// Why a snapshot cannot be read.
#[derive(Debug)]
pub(super) enum Error {
    Storage(StorageError),
    Damaged { key: Key },
    Foreign,
    Cancelled,
}

impl Snapshot {
    /// The state after the newest commit.
    pub(super) fn take(database: &impl ReadableDatabase) -> Result<Self, ::redb::Error> {
        guarded(|| {
            let transaction = database.begin_read()?;
            let facts = transaction.open_table(FACTS)?;
            let newest = facts.get(NEWEST)?.map_or(0, |newest| newest.value());
            let records = Arc::new(transaction.open_table(RECORDS)?);
            Ok(Self { records, newest: Version::new(newest) })
        })
    }

    /// The first snapshot of a file that was just opened. A new file gets its tables.
    pub(super) fn prepare(path: &Path, database: &Database) -> Result<Self, OpenError> {
        let path = || path.to_owned();
        let damaged =
            |error: ::redb::Error| OpenError::Damaged { path: path(), reason: error.to_string() };
        if guarded(|| is_empty(database)).map_err(damaged)? {
            let failed =
                |error: ::redb::Error| OpenError::Io { path: path(), reason: error.to_string() };
            guarded(|| initialise(database)).map_err(failed)?;
        }
        match guarded(|| format(database)).map_err(damaged)? {
            Some(KNOWN_FORMAT) => Self::take(database).map_err(damaged),
            Some(found) => Err(OpenError::Format { path: path(), found, known: KNOWN_FORMAT }),
            None => {
                let reason = "it is a database of another program".to_owned();
                Err(OpenError::Damaged { path: path(), reason })
            }
        }
    }

    pub(super) fn newest(&self) -> Version {
        self.newest
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Record>, Error> {
        guarded(|| {
            let Some(stored) = self.records.get(key.as_bytes())? else { return Ok(None) };
            decode(key.clone(), stored.value()).map(Some).map_err(|key| Error::Damaged { key })
        })
    }

    pub(super) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Record>, Error> {
        let found = self.scan_each(prefix, after, limit)?;
        found.into_iter().map(|found| found.map_err(|key| Error::Damaged { key })).collect()
    }

    /// The same, with the key of each record that is damaged in its place.
    pub(super) fn scan_each(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Result<Record, Key>>, Error> {
        guarded(|| self.each(prefix, after, limit, |key, stored| decode(key, stored.value())))
    }

    /// Their keys.
    pub(super) fn keys(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, Error> {
        guarded(|| self.each(prefix, after, limit, |key, _| key))
    }

    fn each<T>(
        &self,
        prefix: &[u8],
        after: Option<&Key>,
        limit: usize,
        of: impl Fn(Key, &AccessGuard<'_, &'static [u8]>) -> T,
    ) -> Result<Vec<T>, Error> {
        let start = match after {
            Some(after) if after.as_bytes() >= prefix => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        for entry in self.records.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
            let (key, stored) = entry?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let key = Key::new(key.value()).map_err(|_| Error::Foreign)?;
            found.push(of(key, &stored));
        }
        Ok(found)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.newest)
    }
}

/// The version in a stored record; none if it is too short to be one of ours.
pub(super) fn version_of(stored: &[u8]) -> Option<Version> {
    let bytes = stored.first_chunk::<VERSION_LEN>()?;
    Some(Version::new(u64::from_be_bytes(*bytes)))
}

/// The length of a stored record with a value of `value_len` bytes.
pub(super) fn stored_len(value_len: usize) -> usize {
    VERSION_LEN + value_len
}

/// Writes a record into the [`stored_len`] bytes reserved for it.
pub(super) fn encode(into: &mut [u8], version: Version, value: &[u8]) {
    if let Some((head, body)) = into.split_at_mut_checked(VERSION_LEN) {
        head.copy_from_slice(&version.get().to_be_bytes());
        body.copy_from_slice(value);
    }
}

/// The record that is stored; its key if that is too short to be one.
pub(super) fn decode(key: Key, stored: &[u8]) -> Result<Record, Key> {
    let (Some(version), Some(value)) = (version_of(stored), stored.get(VERSION_LEN..)) else {
        return Err(key);
    };
    Ok(Record { key, value: Bytes::copy_from_slice(value), version })
}

fn format(database: &Database) -> Result<Option<u64>, ::redb::Error> {
    match database.begin_read()?.open_table(FACTS) {
        Ok(facts) => Ok(facts.get(FORMAT)?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_empty(database: &Database) -> Result<bool, ::redb::Error> {
    Ok(database.begin_read()?.list_tables()?.next().is_none())
}

fn initialise(database: &Database) -> Result<(), ::redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(FACTS)?.insert(FORMAT, KNOWN_FORMAT)?;
    transaction.commit()?;
    Ok(())
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => Self::Unavailable(error.to_string()),
            Error::Damaged { key } => {
                Self::Damaged { key, reason: "it is too short to be a record".to_owned() }
            }
            Error::Foreign => Self::Unavailable("the file holds a key of another program".into()),
            Error::Cancelled => Self::Unavailable("the scan was cancelled".into()),
        }
    }
}
