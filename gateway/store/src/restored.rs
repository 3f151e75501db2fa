//! That a store was put back to an earlier state: what others have seen since is not in it.
//!
//! A number that only ever rises, and that others remember (that of a CRL), may have been further than the store
//! knows. What counts takes the second of the [mark] for the least that comes next, which is above what
//! was counted before as long as that rose by less than one each second.

use crate::{Commit, InvalidKey, Key, ReadError, Store};

/// Where the mark is, behind the barrier.
const MARK: &str = "_/restored";

/// Adds to a commit that the store was put back, at this second since 1970.
///
/// # Errors
/// None in fact: the key is one.
pub fn mark(commit: Commit, second: u64) -> Result<Commit, InvalidKey> {
    Ok(commit.put(Key::new(MARK)?, second.to_string()))
}

/// Whether this is where the mark is.
pub fn is_mark(key: &Key) -> bool {
    key.as_bytes() == MARK.as_bytes()
}

/// The second since 1970 at which the store was last put back to an earlier state; none if it never was.
///
/// # Errors
/// [`ReadError`]; if the mark is damaged, it is not known what others have seen.
pub async fn last(store: &dyn Store) -> Result<Option<u64>, ReadError> {
    let key = Key::new(MARK)?;
    let Some(record) = store.get(&key).await? else { return Ok(None) };
    let second = std::str::from_utf8(&record.value).ok().and_then(|text| text.parse().ok());
    second.map(Some).ok_or_else(|| ReadError::Damaged { key, reason: "it is no time".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn the_last_mark_counts_and_a_damaged_one_is_refused() {
        let store = MemoryStore::new();
        assert_eq!(last(&store).await.unwrap(), None);
        for second in [7, 1_800_000_000] {
            store.commit(mark(Commit::new(), second).unwrap()).await.unwrap();
            assert_eq!(last(&store).await.unwrap(), Some(second));
        }
        store.commit(Commit::new().put(Key::new(MARK).unwrap(), "soon")).await.unwrap();
        last(&store).await.unwrap_err();
    }
}
