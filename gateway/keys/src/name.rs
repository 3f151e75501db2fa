//! The names of keys.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name by which a key is asked for: 1 to 64 characters of `a-z`, `0-9`, `.` and `-`, so that it
/// can stand in a storage key, a file name and a PKCS#11 label. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(Arc<str>);

/// The text is not a key name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key name: use 1 to 64 of a-z, 0-9, '.' and '-'")]
pub struct InvalidKeyName(pub String);

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        let valid = !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed);
        if valid { Ok(Self(text.into())) } else { Err(InvalidKeyName(text.to_owned())) }
    }
}

impl TryFrom<String> for KeyName {
    type Error = InvalidKeyName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_path_or_a_label_could_misread() {
        for bad in ["", "A", "a b", "a/b", "a_b", "é", "a\0", &"a".repeat(65)] {
            assert_eq!(bad.parse::<KeyName>(), Err(InvalidKeyName(bad.to_owned())));
        }
        for good in ["a", "issuing-1", "root.2026", &"a".repeat(64)] {
            assert_eq!(good.parse::<KeyName>().unwrap().as_str(), good);
        }
    }
}
