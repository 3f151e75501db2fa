//! Reading everything below a prefix, page by page, so that no scan holds the store for long.

use chancery_store::{Key, ReadError, Record, Store};

/// How many records one page has.
const SIZE: usize = 256;

/// All records below a prefix, in the order of their keys.
///
/// Each page sees the store as it is at that moment: a record that is written behind the place that
/// was reached is found, one that is written before it is not.
pub struct Pages<'a> {
    store: &'a dyn Store,
    prefix: &'a [u8],
    after: Option<Key>,
    size: usize,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// Begins with the first record.
    pub fn new(store: &'a dyn Store, prefix: &'a [u8]) -> Self {
        Self { store, prefix, after: None, size: SIZE, ended: false }
    }

    /// Begins behind this key.
    #[must_use]
    pub fn after(self, key: Option<Key>) -> Self {
        Self { after: key, ..self }
    }

    /// Reads so many records at once, at least one.
    #[must_use]
    pub fn of(self, size: usize) -> Self {
        Self { size: size.max(1), ..self }
    }

    /// The next page, which has at least one record; none at the end.
    ///
    /// # Errors
    /// [`ReadError`]. The page can be asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.scan(self.prefix, self.after.as_ref(), self.size).await?;
        self.ended = page.len() < self.size;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.key.clone());
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_store::Commit;
    use chancery_store::memory::MemoryStore;

    #[tokio::test]
    async fn every_record_is_read_once_whatever_the_size_of_pages() {
        let store = MemoryStore::new();
        let keys: Vec<Key> = (0..12).map(|n| Key::new(format!("t/{n:02}")).unwrap()).collect();
        let commit = keys.iter().fold(Commit::new(), |commit, key| commit.put(key.clone(), "x"));
        store.commit(commit.put(Key::new("u/0").unwrap(), "x")).await.unwrap();
        for size in [0, 1, 3, 4, 12, 13, 100] {
            let mut pages = Pages::new(&store, b"t/").of(size);
            let mut found = Vec::new();
            while let Some(page) = pages.next().await.unwrap() {
                assert!(!page.is_empty());
                found.extend(page.into_iter().map(|record| record.key));
            }
            assert_eq!(found, keys, "in pages of {size}");
            assert_eq!(pages.next().await.unwrap(), None);
        }
        let mut rest = Pages::new(&store, b"t/").after(Some(keys[9].clone()));
        assert_eq!(rest.next().await.unwrap().unwrap().len(), 2);
    }
}
