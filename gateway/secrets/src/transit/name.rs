//! The names of transit keys, and which characters they may have.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a key behind a mount: 1 to 128 characters of `a-z`, `A-Z`, `0-9`, `.`, `-` and `_`,
/// beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TransitKeyName(String);

/// The text is not the name of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be the name of a key: use 1 to 128 of a-z, A-Z, 0-9, '.', '-' and '_', beginning \
     with a letter or digit"
)]
pub struct InvalidTransitKeyName(pub String);

impl TransitKeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TransitKeyName {
    type Err = InvalidTransitKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidTransitKeyName> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let valid = (1..=128).contains(&text.len())
            && text.bytes().all(fits)
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidTransitKeyName(text.to_owned())) }
    }
}

impl TryFrom<String> for TransitKeyName {
    type Error = InvalidTransitKeyName;

    fn try_from(text: String) -> Result<Self, InvalidTransitKeyName> {
        text.parse()
    }
}

impl From<TransitKeyName> for String {
    fn from(name: TransitKeyName) -> Self {
        name.0
    }
}

impl std::fmt::Display for TransitKeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_and_needs_no_encoding() {
        for bad in ["", "a/b", "..", ".a", "-a", "a b", "é", "a%2f", "a\0", &"a".repeat(129)] {
            assert!(bad.parse::<TransitKeyName>().is_err(), "{bad:?}");
        }
        for good in ["a", "Orders_2026.v1", "0", &"a".repeat(128)] {
            assert_eq!(good.parse::<TransitKeyName>().unwrap().as_str(), good);
        }
    }
}
