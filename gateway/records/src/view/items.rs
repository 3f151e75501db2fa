//! A model that keeps all records by id, and reports damaged records as errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Damage, Model, ViewError};
use crate::codec::Stored;

/// The records as they are. One that is damaged is an error for those who ask for it, and for those
/// who ask for all.
#[derive(Debug)]
pub struct Items<T>(BTreeMap<String, Result<Arc<Stored<T>>, Damage>>);

impl<T> Items<T> {
    /// The record with this id.
    ///
    /// # Errors
    /// [`ViewError::Damaged`].
    pub fn get(&self, id: &str) -> Result<Option<Arc<Stored<T>>>, ViewError> {
        self.0.get(id).map(item).transpose()
    }

    /// The ids of all records in order, of damaged ones too.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All records, in the order of their ids.
    ///
    /// # Errors
    /// [`ViewError::Damaged`] if one of them is: what it says is not known.
    pub fn all(&self) -> Result<Vec<Arc<Stored<T>>>, ViewError> {
        self.0.values().map(item).collect()
    }
}

fn item<T>(item: &Result<Arc<Stored<T>>, Damage>) -> Result<Arc<Stored<T>>, ViewError> {
    item.clone().map_err(ViewError::from)
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Model<T> for Items<T> {
    fn put(&mut self, id: &str, stored: Stored<T>) {
        self.0.insert(id.to_owned(), Ok(Arc::new(stored)));
    }

    fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }

    fn damaged(&mut self, id: &str, damage: Damage) {
        self.0.insert(id.to_owned(), Err(damage));
    }
}
