//! The keys of records, and how a key is shown as text.

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::str::FromStr;

use bytes::Bytes;

/// The key of a record: 1 to [`Key::MAX_LEN`] bytes, by convention `TENANT/room/kind/id`, with `_` as
/// the tenant of what belongs to the installation itself. Keys order by their bytes. They are stored
/// in the clear and appear in errors and logs, so nothing secret belongs into them.
///
/// As text, a backslash is shown as `\\`, and each byte that is no UTF-8 or part of a control character as `\x` with
/// two hexadecimal digits, so that each key has a text of its own, which [`FromStr`] reads.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

/// The bytes cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a store key has 1 to {} bytes, not {len}", Key::MAX_LEN)]
pub struct InvalidKey {
    /// How many bytes there were.
    pub len: usize,
}

/// The text is not one that a key is shown as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyText {
    /// A backslash in it stands before neither another one nor `x` with two hexadecimal digits.
    #[error(
        "a backslash in a store key is written as `\\\\`, and a byte as `\\x` with two hexadecimal digits"
    )]
    Escape,
    /// It is too short or too long.
    #[error(transparent)]
    Key(#[from] InvalidKey),
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

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let escaped = |f: &mut std::fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        };
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    control if control.is_control() => {
                        escaped(f, control.encode_utf8(&mut [0; 4]).as_bytes())?;
                    }
                    character => f.write_char(character)?,
                }
            }
            escaped(f, chunk.invalid())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for Key {
    type Err = InvalidKeyText;

    /// The key that is shown as `text`.
    fn from_str(text: &str) -> Result<Self, InvalidKeyText> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut parts = text.split('\\');
        bytes.extend(parts.next().unwrap_or_default().as_bytes());
        while let Some(part) = parts.next() {
            if let Some(coded) = part.strip_prefix('x') {
                let (byte, rest) = coded.split_at_checked(2).ok_or(InvalidKeyText::Escape)?;
                let is_hex = byte.bytes().all(|digit| digit.is_ascii_hexdigit());
                let byte = u8::from_str_radix(byte, 16).ok().filter(|_| is_hex);
                bytes.push(byte.ok_or(InvalidKeyText::Escape)?);
                bytes.extend(rest.as_bytes());
            } else if part.is_empty() {
                // Between two of them.
                let rest = parts.next().ok_or(InvalidKeyText::Escape)?;
                bytes.push(b'\\');
                bytes.extend(rest.as_bytes());
            } else {
                return Err(InvalidKeyText::Escape);
            }
        }
        Ok(Self::new(bytes)?)
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
    fn each_key_has_a_text_of_its_own() {
        for (bytes, text) in [
            (&b"default/acme/order/1"[..], "default/acme/order/1"),
            ("t/\u{fc}\u{1f600}".as_bytes(), "t/\u{fc}\u{1f600}"),
            (b"t/\xff\xfeA\n\x1b[m", r"t/\xff\xfeA\x0a\x1b[m"),
            (br"t/a\xff", r"t/a\\xff"),
            (br"\\", r"\\\\"),
            ("t/\u{85}".as_bytes(), r"t/\xc2\x85"),
        ] {
            let key = Key::new(bytes).unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(text.parse(), Ok(key));
        }
        for text in [r"a\", r"a\n", r"a\x", r"a\xf", r"a\xfg", r"a\x+1", r"\\\"] {
            assert_eq!(text.parse::<Key>(), Err(InvalidKeyText::Escape), "{text}");
        }
        assert!(matches!("".parse::<Key>(), Err(InvalidKeyText::Key(_))));
    }

    proptest::proptest! {
        #[test]
        fn every_key_is_read_as_it_is_shown(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..40)) {
            let key = Key::new(bytes).unwrap();
            let text = key.to_string();
            proptest::prop_assert!(!text.contains(char::is_control));
            proptest::prop_assert_eq!(text.parse(), Ok(key));
        }
    }

    #[test]
    fn orders_by_bytes_and_shows_itself_as_text() {
        let mut keys = ["b", "a/2", "a/10", "a"].map(|text| Key::new(text).unwrap());
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["a", "a/10", "a/2", "b"]);
        assert_eq!(Key::new(vec![0xff, b'x']).unwrap().to_string(), r"\xffx");
    }
}
