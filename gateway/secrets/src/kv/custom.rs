//! The custom metadata of a secret, with its limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Notes about a secret: texts by name. Everybody who may read the metadata can read them, so do
/// not put secrets there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomMetadata(BTreeMap<String, String>);

/// Most notes on one secret.
const MAX_KEYS: usize = 64;
/// Longest name of a note, in bytes.
const MAX_KEY_BYTES: usize = 128;
/// Longest text of a note, in bytes.
const MAX_VALUE_BYTES: usize = 512;

/// Why a set of notes is refused. The error does not repeat their texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCustomMetadata {
    /// Over 64.
    #[error("custom_metadata may have at most {MAX_KEYS} keys")]
    TooManyKeys,
    /// Empty or over 128 bytes.
    #[error("custom_metadata has a key that is not 1 to {MAX_KEY_BYTES} bytes long")]
    KeyLength,
    /// Empty or over 512 bytes.
    #[error("custom_metadata has a value that is not 1 to {MAX_VALUE_BYTES} bytes long")]
    ValueLength,
    /// A control character in a key or value.
    #[error("custom_metadata has a key or value with unprintable characters")]
    Unprintable,
}

impl CustomMetadata {
    /// These notes.
    ///
    /// # Errors
    /// See [`InvalidCustomMetadata`].
    pub fn new(notes: BTreeMap<String, String>) -> Result<Self, InvalidCustomMetadata> {
        if notes.len() > MAX_KEYS {
            return Err(InvalidCustomMetadata::TooManyKeys);
        }
        for (key, value) in &notes {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(InvalidCustomMetadata::KeyLength);
            }
            if value.is_empty() || value.len() > MAX_VALUE_BYTES {
                return Err(InvalidCustomMetadata::ValueLength);
            }
            if key.chars().chain(value.chars()).any(char::is_control) {
                return Err(InvalidCustomMetadata::Unprintable);
            }
        }
        Ok(Self(notes))
    }

    /// These notes with `changes` applied: a text replaces or adds a note, none removes it.
    ///
    /// # Errors
    /// See [`InvalidCustomMetadata`]; the check looks at the result.
    pub fn changed(
        &self,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<Self, InvalidCustomMetadata> {
        let mut notes = self.0.clone();
        for (key, change) in changes {
            match change {
                Some(value) => notes.insert(key.clone(), value.clone()),
                None => notes.remove(key),
            };
        }
        Self::new(notes)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn custom_metadata_is_at_most_64_keys_of_128_bytes_with_values_of_512() {
        let many = |n: usize| (0..n).map(|i| (i.to_string(), "x".to_owned())).collect();
        assert!(CustomMetadata::new(many(64)).is_ok());
        let cases = [
            (many(65), InvalidCustomMetadata::TooManyKeys),
            (notes(&[("", "x")]), InvalidCustomMetadata::KeyLength),
            (notes(&[(&"k".repeat(129), "x")]), InvalidCustomMetadata::KeyLength),
            (notes(&[("k", "")]), InvalidCustomMetadata::ValueLength),
            (notes(&[("k", &"v".repeat(513))]), InvalidCustomMetadata::ValueLength),
            (notes(&[("k", "a\nb")]), InvalidCustomMetadata::Unprintable),
            (notes(&[("k\0", "a")]), InvalidCustomMetadata::Unprintable),
        ];
        for (bad, why) in cases {
            assert_eq!(CustomMetadata::new(bad), Err(why));
        }
        assert!(CustomMetadata::new(notes(&[(&"k".repeat(128), &"v".repeat(512))])).is_ok());
    }

    #[test]
    fn changes_replace_add_and_remove() {
        let old = CustomMetadata::new(notes(&[("a", "1"), ("b", "2")])).unwrap();
        let changes = BTreeMap::from([
            ("a".to_owned(), None),
            ("b".to_owned(), Some("3".to_owned())),
            ("c".to_owned(), Some("4".to_owned())),
        ]);
        let expected = CustomMetadata::new(notes(&[("b", "3"), ("c", "4")])).unwrap();
        assert_eq!(old.changed(&changes), Ok(expected));
    }
}
