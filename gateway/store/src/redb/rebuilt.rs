//! The note in a file that was made anew of a damaged one, until its repair is done.

use std::path::Path;

use ::redb::{
    Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase, ReadableTable as _,
    TableDefinition, TableError,
};

use super::guard::guarded;
use super::open_error;
use super::readable::Gap;
use super::snapshot::{FACTS, NEWEST};
use crate::{Key, OpenError, Version};

/// Fact: of how many records the file was made anew. It is there until the repair is done.
const REBUILT: &str = "rebuilt";

/// The keys on either side of each gap, by its number.
type Sides = (Option<&'static [u8]>, Option<&'static [u8]>);

/// What could not be read of the damaged file.
const GAPS: TableDefinition<'static, u64, Sides> = TableDefinition::new("rebuilt-gaps");

/// A store's file was made anew of a damaged one, and what has to follow is not known to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Of how many records.
    pub records: u64,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Puts the note into the file.
pub(super) fn note(
    transaction: &::redb::WriteTransaction,
    Unfinished { records, gaps }: &Unfinished,
) -> Result<(), ::redb::Error> {
    transaction.open_table(FACTS)?.insert(REBUILT, *records)?;
    let mut table = transaction.open_table(GAPS)?;
    for (number, Gap { after, before }) in (0_u64..).zip(gaps) {
        let sides = (after.as_ref().map(Key::as_bytes), before.as_ref().map(Key::as_bytes));
        table.insert(number, sides)?;
    }
    Ok(())
}

/// Reads it; none if the repair is done, or there was none.
pub(super) fn read(database: &impl ReadableDatabase) -> Result<Option<Unfinished>, ::redb::Error> {
    guarded(|| {
        let transaction = database.begin_read()?;
        let facts = transaction.open_table(FACTS)?;
        let Some(records) = facts.get(REBUILT)?.map(|records| records.value()) else {
            return Ok(None);
        };
        let mut gaps = vec![];
        match transaction.open_table(GAPS) {
            Ok(table) => {
                for entry in table.iter()? {
                    let (_, sides) = entry?;
                    let (after, before) = sides.value();
                    let key = |bytes: Option<&[u8]>| bytes.and_then(|bytes| Key::new(bytes).ok());
                    gaps.push(Gap { after: key(after), before: key(before) });
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Unfinished { records, gaps }))
    })
}

/// The newest commit in a file that has the note, or none if it has none: then it is not complete, or the repair is
/// done. The file is not changed. Blocks.
///
/// # Errors
/// [`OpenError`]: [`OpenError::Unclosed`] if it was not closed in order, which says nothing of the note.
pub fn peek_unfinished(path: &Path) -> Result<Option<Version>, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let opened: Result<_, DatabaseError> = guarded(|| ReadOnlyDatabase::open(path));
    let database = opened.map_err(|error| match error {
        DatabaseError::RepairAborted => OpenError::Unclosed { path: path.to_owned() },
        error => open_error(path, error),
    })?;
    let found: Result<_, ::redb::Error> = guarded(|| {
        let facts = database.begin_read()?.open_table(FACTS)?;
        let of = |name| facts.get(name).map(|fact| fact.map(|fact| fact.value()));
        Ok((of(REBUILT)?, of(NEWEST)?))
    });
    let (rebuilt, newest) = found.map_err(|error| damaged(error.to_string()))?;
    Ok(rebuilt.map(|_| Version::new(newest.unwrap_or(0))))
}

/// Takes it out of the file.
pub(super) fn forget(database: &Database) -> Result<(), ::redb::Error> {
    guarded(|| {
        let transaction = database.begin_write()?;
        transaction.open_table(FACTS)?.remove(REBUILT)?;
        transaction.delete_table(GAPS)?;
        transaction.commit()?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Import, RedbStore};
    use super::*;
    use crate::Version;

    #[tokio::test]
    async fn the_note_stays_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.redb");
        let key = |text: &str| Some(Key::new(text).unwrap());
        let noted = Unfinished {
            records: 7,
            gaps: vec![
                Gap { after: None, before: key("a") },
                Gap { after: key("b"), before: key("c") },
                Gap { after: key("d"), before: None },
            ],
        };
        Import::create(&path).unwrap().finish_rebuilt(Version::new(3), &noted).unwrap();
        assert_eq!(peek_unfinished(&path).unwrap(), Some(Version::new(3)));
        for _ in 0..2 {
            let store = RedbStore::open(&path).unwrap();
            assert_eq!(store.unfinished(), Some(&noted));
        }
        let store = RedbStore::open(&path).unwrap();
        store.forget_rebuilt().await.unwrap();
        drop(store);
        assert_eq!(peek_unfinished(&path).unwrap(), None);
        assert_eq!(RedbStore::open(&path).unwrap().unfinished(), None);
        for half in [&b""[..], b"half a file"] {
            std::fs::write(&path, half).unwrap();
            peek_unfinished(&path).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), half, "it is not changed");
        }
    }
}
