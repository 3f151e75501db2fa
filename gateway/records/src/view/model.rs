//! The interface between a view and its model of the records.

use crate::codec::Stored;

/// What a view keeps of the records of a table.
pub trait Model<T> {
    /// The record is there, in place of what had this id.
    fn put(&mut self, id: &str, stored: Stored<T>);

    /// The record is not there any more. It may not have been there before.
    fn remove(&mut self, id: &str);

    /// The record is there and cannot be trusted. What depends on it must fail.
    fn damaged(&mut self, id: &str, damage: Damage);
}

/// What is known of a record that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it is.
    pub key: chancery_store::Key,
    /// What is wrong with it.
    pub reason: String,
}
