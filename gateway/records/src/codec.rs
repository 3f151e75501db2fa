//! How a value becomes the bytes of a record, and which version of its type wrote them.

use bytes::Bytes;
use chancery_store::{CommitError, InvalidKey, Key, ReadError, Record, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte of a record that says its version. No JSON and no UTF-8 text begins with it.
const VERSIONED: u8 = 0xff;

/// A type whose values are kept as records.
///
/// A type of version 0 is stored as bare JSON. A later version is stored behind a byte 0xff and the
/// number, so that a release that does not know it says so instead of guessing.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Group {
///     members: Vec<String>,
/// }
///
/// impl chancery_records::Recorded for Group {}
/// ```
pub trait Recorded: Serialize + DeserializeOwned {
    /// The version that this release writes.
    const VERSION: u8 = 0;

    /// Reads the JSON that an earlier version wrote. Only called for versions below
    /// [`VERSION`](Self::VERSION). Says what is wrong if it cannot.
    ///
    /// # Errors
    /// What is wrong with the JSON, for the log.
    fn upgrade(version: u8, json: &[u8]) -> Result<Self, String> {
        let _ = version;
        parse(json)
    }

    /// Reads the bytes of a record. Only for a type that is not stored as JSON, because it was not from the first
    /// release on.
    ///
    /// # Errors
    /// What is wrong with them, for the log.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [VERSIONED, version, json @ ..] if *version == Self::VERSION => parse(json),
            [VERSIONED, version, json @ ..] if *version < Self::VERSION => {
                Self::upgrade(*version, json)
            }
            [VERSIONED, version, ..] => Err(format!(
                "it has version {version}, this release knows versions up to {}: use a newer release",
                Self::VERSION
            )),
            json if Self::VERSION == 0 => parse(json),
            json => Self::upgrade(0, json),
        }
    }

    /// The bytes of a record, as [`from_bytes`](Self::from_bytes) reads them.
    ///
    /// # Errors
    /// Why the value cannot be written.
    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        if Self::VERSION > 0 {
            bytes.extend([VERSIONED, Self::VERSION]);
        }
        serde_json::to_writer(&mut bytes, self).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The keys of the index entries that lead to this value. They have empty values and are written
    /// and deleted together with the record.
    ///
    /// # Errors
    /// If one of them is no key.
    fn indexes(&self, key: &Key) -> Result<Vec<Key>, InvalidKey> {
        let _ = key;
        Ok(Vec::new())
    }
}

/// A value with the version that a commit checks before it replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Where it is.
    pub key: Key,
    /// The value.
    pub value: T,
    /// The commit that wrote it.
    pub version: Version,
}

/// The value in a record.
///
/// # Errors
/// [`ReadError::Damaged`] if the bytes are not a value of this type, or were written by a release
/// that knows a later version of it.
pub fn decode<T: Recorded>(record: &Record) -> Result<Stored<T>, ReadError> {
    match T::from_bytes(&record.value) {
        Ok(value) => Ok(Stored { key: record.key.clone(), value, version: record.version }),
        Err(reason) => Err(ReadError::Damaged { key: record.key.clone(), reason }),
    }
}

/// The bytes of a value.
///
/// # Errors
/// [`CommitError::Damaged`] if the value cannot be written.
pub fn encode<T: Recorded>(key: &Key, value: &T) -> Result<Bytes, CommitError> {
    let damaged = |reason| CommitError::Damaged { key: key.clone(), reason };
    Ok(value.to_bytes().map_err(damaged)?.into())
}

// Without what serde says of the input, which may be a secret: it quotes values of wrong types.
fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| {
        format!("it is not what it should be (line {}, column {})", error.line(), error.column())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }
    impl Recorded for Old {}

    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    struct New {
        names: Vec<String>,
    }
    impl Recorded for New {
        const VERSION: u8 = 2;

        fn upgrade(version: u8, json: &[u8]) -> Result<Self, String> {
            assert!(version < 2);
            let old: Old = serde_json::from_slice(json).map_err(|error| error.to_string())?;
            Ok(Self { names: vec![old.name] })
        }
    }

    /// A version that reads what the one before wrote.
    #[derive(Debug, Serialize, Deserialize)]
    struct Longer {
        name: String,
        #[serde(default)]
        age: u8,
    }
    impl Recorded for Longer {
        const VERSION: u8 = 1;
    }

    fn record(value: impl Into<Bytes>) -> Record {
        Record { key: Key::new("t/x").unwrap(), value: value.into(), version: Version::new(7) }
    }

    #[test]
    fn the_first_version_is_bare_json() {
        let key = Key::new("t/x").unwrap();
        let bytes = encode(&key, &Old { name: "a".to_owned() }).unwrap();
        assert_eq!(&bytes[..], br#"{"name":"a"}"#);
        let stored: Stored<Old> = decode(&record(bytes)).unwrap();
        assert_eq!((stored.value.name.as_str(), stored.version.get()), ("a", 7));
    }

    #[test]
    fn an_earlier_version_is_upgraded_when_it_is_read() {
        let stored: Stored<New> = decode(&record(r#"{"name":"a"}"#)).unwrap();
        assert_eq!(stored.value.names, ["a"]);
        let stored: Stored<New> = decode(&record(&b"\xff\x01{\"name\":\"b\"}"[..])).unwrap();
        assert_eq!(stored.value.names, ["b"]);
    }

    #[test]
    fn a_later_version_is_refused_and_named() {
        let key = Key::new("t/x").unwrap();
        let bytes = encode(&key, &New { names: vec![] }).unwrap();
        assert_eq!(&bytes[..2], b"\xff\x02");
        let refused = decode::<Old>(&record(bytes)).unwrap_err().to_string();
        assert!(refused.contains("version 2") && refused.contains("up to 0"), "{refused}");
    }

    #[test]
    fn an_error_does_not_quote_the_record() {
        let refused = decode::<Old>(&record(r#"{"name":["hunter2"]}"#)).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
        let refused = decode::<Old>(&record(r#""hunter2""#)).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
        let refused = decode::<Longer>(&record(r#""hunter2""#)).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(names: Vec<String>) {
            let key = Key::new("t/x").unwrap();
            let value = New { names };
            let stored: Stored<New> = decode(&record(encode(&key, &value).unwrap())).unwrap();
            prop_assert_eq!(stored.value, value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode::<Old>(&record(bytes.clone()));
            let _ = decode::<New>(&record(bytes));
        }
    }
}
