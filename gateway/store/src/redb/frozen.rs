//! One state of a store's file, and a new file made from one.

use std::path::Path;

use ::redb::{Database, DatabaseError, Durability, ReadOnlyDatabase};

use super::guard::guarded;
use super::rebuilt::{self, Unfinished};
use super::snapshot::{self, FACTS, FORMAT, KNOWN_FORMAT, NEWEST, RECORDS, Snapshot};
use super::{create_private, io_error, open_error};
use crate::{Key, OpenError, ReadError, Record, Version};

/// All records as one commit left them, however long others go on committing. While this is held, the file keeps
/// that state, and so grows.
#[derive(Debug)]
pub struct Frozen(pub(super) Snapshot);

impl Frozen {
    /// The newest commit in it.
    pub fn newest(&self) -> Version {
        self.0.newest()
    }

    /// The first `limit` records after `after`, in ascending order of keys; for a value that is too short to be
    /// a record, its key. Reads the file: call it where it may block.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub fn scan(
        &self,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Result<Record, Key>>, ReadError> {
        Ok(self.0.scan_each(b"", after, limit)?)
    }
}

/// The records of a file at these keys. Neither changes nor creates the file: for tools that only check whether
/// all is in order. Blocks.
///
/// # Errors
/// See [`OpenError`]: above all [`OpenError::InUse`], and [`OpenError::Unclosed`].
pub fn peek(path: &Path, keys: &[Key]) -> Result<Vec<Record>, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let opened: Result<_, DatabaseError> = guarded(|| ReadOnlyDatabase::open(path));
    let database = opened.map_err(|error| match error {
        DatabaseError::RepairAborted => OpenError::Unclosed { path: path.to_owned() },
        error => open_error(path, error),
    })?;
    let snapshot = Snapshot::take(&database).map_err(|error| damaged(error.to_string()))?;
    let records = keys.iter().map(|key| snapshot.get(key));
    let found = records.collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| damaged(ReadError::from(error).to_string()))?;
    Ok(found.into_iter().flatten().collect())
}

/// The file of a store that is made from the records of another one, each unchanged, with its version. It is not
/// a store until it is [finished](Self::finish).
#[derive(Debug)]
pub struct Import {
    database: Database,
    path: std::path::PathBuf,
}

impl Import {
    /// Begins a new file (mode 0600). Blocks, as does all that follows.
    ///
    /// # Errors
    /// [`OpenError::Io`], also if there is anything at `path`.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        create_private(path, false).map_err(|error| io_error(path, &error))?;
        let database = Database::create(path).map_err(|error| open_error(path, error))?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// Adds records.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn put(&mut self, records: &[Record]) -> Result<(), OpenError> {
        self.write(Durability::None, |transaction| {
            let mut table = transaction.open_table(RECORDS)?;
            for Record { key, value, version } in records {
                let length = snapshot::stored_len(value.len());
                let mut stored = table.insert_reserve(key.as_bytes(), length)?;
                snapshot::encode(stored.as_mut(), *version, value);
            }
            Ok(())
        })
    }

    /// Makes the file a store whose newest commit is `newest`, and gets it onto the disk.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn finish(self, newest: Version) -> Result<(), OpenError> {
        self.end(newest, None)
    }

    /// The same for a file that is made anew of a damaged one, with a note in it that the repair is not done:
    /// [`RedbStore::unfinished`](super::RedbStore::unfinished).
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub fn finish_rebuilt(self, newest: Version, rebuilt: &Unfinished) -> Result<(), OpenError> {
        self.end(newest, Some(rebuilt))
    }

    fn end(mut self, newest: Version, rebuilt: Option<&Unfinished>) -> Result<(), OpenError> {
        self.write(Durability::Immediate, |transaction| {
            if let Some(rebuilt) = rebuilt {
                rebuilt::note(transaction, rebuilt)?;
            }
            transaction.open_table(RECORDS)?;
            let mut facts = transaction.open_table(FACTS)?;
            facts.insert(FORMAT, KNOWN_FORMAT)?;
            facts.insert(NEWEST, newest.get())?;
            Ok(())
        })
    }

    fn write(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&::redb::WriteTransaction) -> Result<(), ::redb::Error>,
    ) -> Result<(), OpenError> {
        let done: Result<(), ::redb::Error> = guarded(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(durability)?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        });
        done.map_err(|error| OpenError::Io { path: self.path.clone(), reason: error.to_string() })
    }
}
