//! Records of one type below one prefix.

use std::marker::PhantomData;

use chancery_store::{Commit, CommitError, InvalidKey, Key, ReadError, SharedStore};

use crate::codec::{Recorded, Stored, decode, encode};
use crate::pages::Pages;
use crate::tries::Tries;

/// The records of one type whose keys are `PREFIX` and an id.
pub struct Table<T> {
    store: SharedStore,
    prefix: String,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), prefix: self.prefix.clone(), values: PhantomData }
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.prefix).finish()
    }
}

impl<T: Recorded> Table<T> {
    /// The table below `prefix`, which ends with a slash by convention.
    pub fn new(store: SharedStore, prefix: impl Into<String>) -> Self {
        Self { store, prefix: prefix.into(), values: PhantomData }
    }

    /// The store that it is in.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// What all its keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the record with this id is.
    ///
    /// # Errors
    /// If prefix and id together are too long for a key.
    pub fn key(&self, id: &str) -> Result<Key, InvalidKey> {
        Key::new(format!("{}{id}", self.prefix))
    }

    /// The id of the record at this key; none if it is no key of this table or no text.
    pub fn id<'k>(&self, key: &'k Key) -> Option<&'k str> {
        std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix(self.prefix.as_str())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`ReadError`]; a value that does not decode is [`ReadError::Damaged`].
    pub async fn get(&self, id: &str) -> Result<Option<Stored<T>>, ReadError> {
        let key = self.key(id)?;
        self.store.get(&key).await?.as_ref().map(decode).transpose()
    }

    /// Reads all records, in the order of their keys. For tables that are small by their nature:
    /// others are read by [`Pages`].
    ///
    /// # Errors
    /// [`ReadError`]; one damaged record fails the whole.
    pub async fn all(&self) -> Result<Vec<Stored<T>>, ReadError> {
        let mut found = Vec::new();
        let mut pages = Pages::new(&*self.store, self.prefix.as_bytes());
        while let Some(page) = pages.next().await? {
            for record in &page {
                found.push(decode(record)?);
            }
        }
        Ok(found)
    }

    /// Adds to a commit what stores `value`, with its index entries, in place of `before`. The commit
    /// checks that the record is still as it was: absent if there was none before.
    ///
    /// # Errors
    /// If the value has no encoding or a key is too long.
    pub fn replace(
        &self,
        commit: Commit,
        id: &str,
        before: Option<&Stored<T>>,
        value: &T,
    ) -> Result<Commit, CommitError> {
        let key = self.key(id)?;
        let commit = without_indexes(checked(commit, &key, before), before)?;
        let entries = value.indexes(&key)?;
        let bytes = encode(&key, value)?;
        Ok(entries.into_iter().fold(commit.put(key, bytes), |commit, entry| commit.put(entry, "")))
    }

    /// Adds to a commit what deletes a record with its index entries. The commit checks that the
    /// record is still as it was.
    ///
    /// # Errors
    /// If a key of its index entries is too long.
    pub fn remove(&self, commit: Commit, before: &Stored<T>) -> Result<Commit, CommitError> {
        let commit = without_indexes(checked(commit, &before.key, Some(before)), Some(before))?;
        Ok(commit.delete(before.key.clone()))
    }

    /// Reads a record, lets `change` decide, and stores what it returns; again from the beginning if
    /// somebody else changed the record meanwhile. `change` returns the value to store, none to leave
    /// everything as it is, and a result.
    ///
    /// # Errors
    /// What `change` returns, and what the store returns: see [`Tries`].
    pub async fn update<R, E>(
        &self,
        id: &str,
        mut change: impl FnMut(Option<&T>) -> Result<(Option<T>, R), E>,
    ) -> Result<R, E>
    where
        E: From<CommitError>,
    {
        let mut tries = Tries::default();
        loop {
            let before = self.get(id).await.map_err(CommitError::from)?;
            let (after, result) = change(before.as_ref().map(|before| &before.value))?;
            let Some(after) = after else { return Ok(result) };
            let commit = self.replace(Commit::new(), id, before.as_ref(), &after)?;
            if tries.commit(&*self.store, commit).await?.is_some() {
                return Ok(result);
            }
        }
    }
}

fn checked<T>(commit: Commit, key: &Key, before: Option<&Stored<T>>) -> Commit {
    match before {
        Some(before) => commit.check_version(key.clone(), before.version),
        None => commit.check_absent(key.clone()),
    }
}

fn without_indexes<T: Recorded>(
    commit: Commit,
    before: Option<&Stored<T>>,
) -> Result<Commit, InvalidKey> {
    let entries = match before {
        Some(before) => before.value.indexes(&before.key)?,
        None => Vec::new(),
    };
    Ok(entries.into_iter().fold(commit, Commit::delete))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;
    use serde::{Deserialize, Serialize};
    use std::sync::Arc;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Person {
        town: String,
    }

    impl Recorded for Person {
        fn indexes(&self, key: &Key) -> Result<Vec<Key>, InvalidKey> {
            Ok(vec![Key::new(format!("t/by-town/{}/{key}", self.town))?])
        }
    }

    fn person(town: &str) -> Person {
        Person { town: town.to_owned() }
    }

    fn people() -> (MemoryStore, Table<Person>) {
        let store = MemoryStore::new();
        (store.clone(), Table::new(Arc::new(store), "t/person/"))
    }

    async fn keys(store: &MemoryStore) -> Vec<String> {
        let records = store.scan(b"", None, 100).await.unwrap();
        records.into_iter().map(|record| record.key.to_string()).collect()
    }

    #[tokio::test]
    async fn a_record_takes_its_index_entries_along() {
        let (store, table) = people();
        let first = table.replace(Commit::new(), "1", None, &person("bern")).unwrap();
        store.commit(first).await.unwrap();
        let before = table.get("1").await.unwrap().unwrap();
        assert_eq!(keys(&store).await, ["t/by-town/bern/t/person/1", "t/person/1"]);
        let moved = table.replace(Commit::new(), "1", Some(&before), &person("chur")).unwrap();
        store.commit(moved).await.unwrap();
        assert_eq!(keys(&store).await, ["t/by-town/chur/t/person/1", "t/person/1"]);
        let stale = table.remove(Commit::new(), &before).unwrap();
        assert!(matches!(store.commit(stale).await, Err(CommitError::Conflict { .. })));
        let now = table.get("1").await.unwrap().unwrap();
        store.commit(table.remove(Commit::new(), &now).unwrap()).await.unwrap();
        assert!(keys(&store).await.is_empty());
    }

    #[tokio::test]
    async fn what_is_new_does_not_replace_what_somebody_else_made() {
        let (store, table) = people();
        let make = |town| table.replace(Commit::new(), "1", None, &person(town)).unwrap();
        store.commit(make("bern")).await.unwrap();
        assert!(matches!(store.commit(make("chur")).await, Err(CommitError::Conflict { .. })));
        assert_eq!(table.all().await.unwrap()[0].value, person("bern"));
    }

    #[tokio::test]
    async fn an_update_sees_what_another_one_did() {
        let (_, table) = people();
        let append = async |text: &str| {
            table
                .update("1", |before| {
                    let town = before.map(|person| person.town.clone()).unwrap_or_default();
                    Ok::<_, CommitError>((Some(person(&(town.clone() + text))), town))
                })
                .await
        };
        let (one, other) = tokio::join!(append("a"), append("b"));
        let mut seen = [one.unwrap(), other.unwrap()];
        seen.sort();
        assert_eq!(seen[0], "");
        let town = table.get("1").await.unwrap().unwrap().value.town;
        assert!(town == "ab" || town == "ba", "{town}");
    }

    #[tokio::test]
    async fn ids_are_what_stands_behind_the_prefix() {
        let (_, table) = people();
        assert_eq!(table.id(&table.key("a/b").unwrap()), Some("a/b"));
        assert_eq!(table.id(&Key::new("u/person/1").unwrap()), None);
    }
}
