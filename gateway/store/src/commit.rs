//! A commit: its checks, its writes and its size limit.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{CommitError, Key, Version};

/// Checks and writes that take effect together or not at all.
///
/// ```
/// # use chancery_store::{Commit, Key};
/// # fn main() -> Result<(), chancery_store::InvalidKey> {
/// let order = Key::new("default/acme/order/1")?;
/// let by_account = Key::new("default/acme/order-of/7/1")?;
/// let commit = Commit::new()
///     .check_absent(order.clone())
///     .put(order, r#"{"state":"pending"}"#)
///     .put(by_account, "");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Commit {
    checks: Vec<Check>,
    writes: BTreeMap<Key, Write>,
}

/// Something that must hold when a commit is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The record that is looked at.
    pub key: Key,
    /// The version that it must still have; none if it must not exist.
    pub expected: Option<Version>,
}

/// What a commit does to one key.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores this value, whether or not there was one.
    Put(Bytes),
    /// Removes the record if it exists.
    Delete,
}

impl Commit {
    /// The most that one commit may write: keys and values together, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;

    /// A commit that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that there is no record at `key`.
    #[must_use]
    pub fn check_absent(self, key: Key) -> Self {
        self.check(Check { key, expected: None })
    }

    /// Requires that the record at `key` was last written by commit `version`.
    #[must_use]
    pub fn check_version(self, key: Key, version: Version) -> Self {
        self.check(Check { key, expected: Some(version) })
    }

    /// Adds a check.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Stores `value` at `key`. Of several writes to one key, the last counts.
    #[must_use]
    pub fn put(self, key: Key, value: impl Into<Bytes>) -> Self {
        self.write(key, Write::Put(value.into()))
    }

    /// Removes the record at `key`; nothing happens if there is none.
    #[must_use]
    pub fn delete(self, key: Key) -> Self {
        self.write(key, Write::Delete)
    }

    /// Adds a write.
    #[must_use]
    pub fn write(mut self, key: Key, write: Write) -> Self {
        self.writes.insert(key, write);
        self
    }

    /// What must hold.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What is written, in the order of keys.
    pub fn writes(&self) -> &BTreeMap<Key, Write> {
        &self.writes
    }

    /// The size that [`Commit::MAX_BYTES`] bounds.
    pub fn len_bytes(&self) -> usize {
        self.writes.iter().map(|(key, write)| key.as_bytes().len() + write.len()).sum()
    }

    /// Refuses a commit that no backend has to take. Backends call this before anything else.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] if it is over [`Commit::MAX_BYTES`].
    pub fn check_size(&self) -> Result<(), CommitError> {
        match self.len_bytes() {
            bytes if bytes > Self::MAX_BYTES => {
                Err(CommitError::TooLarge { bytes, limit: Self::MAX_BYTES })
            }
            _ => Ok(()),
        }
    }
}

impl Write {
    fn len(&self) -> usize {
        match self {
            Self::Put(value) => value.len(),
            Self::Delete => 0,
        }
    }
}

// Values may be secrets, so only their length is shown.
impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(value) => write!(f, "Put({} bytes)", value.len()),
            Self::Delete => f.write_str("Delete"),
        }
    }
}

impl std::fmt::Debug for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commit")
            .field("checks", &self.checks)
            .field("writes", &self.writes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_to_a_key_counts() {
        let key = Key::new("k").unwrap();
        let commit = Commit::new().put(key.clone(), "1").delete(key.clone()).put(key.clone(), "2");
        assert_eq!(commit.writes().get(&key), Some(&Write::Put("2".into())));
        assert_eq!(commit.len_bytes(), 2);
    }

    #[test]
    fn showing_a_commit_does_not_show_its_values() {
        let commit = Commit::new().put(Key::new("app/password").unwrap(), "hunter2");
        let shown = format!("{commit:?}");
        assert!(shown.contains("app/password") && shown.contains("7 bytes"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
