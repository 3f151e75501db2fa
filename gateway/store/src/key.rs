use std::borrow::Borrow;

use bytes::Bytes;

/// The key of a record: 1 to [`Key::MAX_LEN`] bytes, by convention `TENANT/room/kind/id`, with `_` as
/// the tenant of what belongs to the installation itself. Keys order by their bytes. They are stored
/// in the clear and appear in errors and logs, so nothing secret belongs into them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

/// The bytes cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a store key has 1 to {} bytes, not {len}", Key::MAX_LEN)]
pub struct InvalidKey {
    /// How many bytes there were.
    pub len: usize,
}

impl Key {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// The key of these bytes: a `String`, a `&str`, a `Vec<u8>` or a `&[u8]`.
    ///
    /// # Errors
    /// If there are none or more than [`Key::MAX_LEN`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidKey> {
        Self::try_from(Bytes::from(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes before the first `/`: the tenant, by convention. The whole key if it has no `/`.
    pub fn first_segment(&self) -> &[u8] {
        self.0.split(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

impl TryFrom<Bytes> for Key {
    type Error = InvalidKey;

    fn try_from(bytes: Bytes) -> Result<Self, InvalidKey> {
        if (1..=Self::MAX_LEN).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(InvalidKey { len: bytes.len() })
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The key as text; bytes that are not UTF-8 are shown as replacement characters.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_between_one_byte_and_the_limit() {
        assert_eq!(Key::new(""), Err(InvalidKey { len: 0 }));
        assert!(Key::new("a").is_ok());
        assert!(Key::new(vec![0; Key::MAX_LEN]).is_ok());
        assert_eq!(Key::new(vec![0; Key::MAX_LEN + 1]), Err(InvalidKey { len: 1025 }));
    }

    #[test]
    fn begins_with_the_tenant() {
        assert_eq!(Key::new("default/acme/order/1").unwrap().first_segment(), b"default");
        assert_eq!(Key::new("bare").unwrap().first_segment(), b"bare");
        assert_eq!(Key::new("/odd").unwrap().first_segment(), b"");
    }

    #[test]
    fn orders_by_bytes_and_shows_itself_as_text() {
        let mut keys = ["b", "a/2", "a/10", "a"].map(|text| Key::new(text).unwrap());
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["a", "a/10", "a/2", "b"]);
        assert_eq!(Key::new(vec![0xff, b'x']).unwrap().to_string(), "\u{fffd}x");
    }
}
