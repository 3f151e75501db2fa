//! Ciphertexts and signatures as text with the key's version: `vault:v3:BASE64`.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::encoding::{from_base64, from_base64_url};

/// What came out of a key, as clients keep it: `vault:v3:BASE64`, where 3 is the version that made it.
/// Ciphertexts of AES keys are nonce, ciphertext and tag as Vault has them, so that what Vault made opens
/// here with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedText {
    /// The version of the key.
    pub version: u64,
    /// What it made.
    pub bytes: Vec<u8>,
    url_safe: bool,
}

/// The text is not what a key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must look like vault:v1:… with base64 after the version")]
pub struct MalformedText;

impl VersionedText {
    /// The output of this version.
    pub fn new(version: u64, bytes: Vec<u8>) -> Self {
        Self { version, bytes, url_safe: false }
    }

    /// The same in the alphabet of JOSE (RFC 7515 §2).
    #[must_use]
    pub fn url_safe(self) -> Self {
        Self { url_safe: true, ..self }
    }
}

impl std::fmt::Display for VersionedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.url_safe {
            URL_SAFE_NO_PAD.encode(&self.bytes)
        } else {
            STANDARD.encode(&self.bytes)
        };
        write!(f, "vault:v{}:{text}", self.version)
    }
}

impl FromStr for VersionedText {
    type Err = MalformedText;

    fn from_str(text: &str) -> Result<Self, MalformedText> {
        let rest = text.strip_prefix("vault:v").ok_or(MalformedText)?;
        let (version, encoded) = rest.split_once(':').ok_or(MalformedText)?;
        let is_plain = version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
        let version = version.parse().ok().filter(|_| is_plain).ok_or(MalformedText)?;
        if let Some(bytes) = from_base64(encoded) {
            return Ok(Self { version, bytes: bytes.to_vec(), url_safe: false });
        }
        let bytes = from_base64_url(encoded).ok_or(MalformedText)?;
        Ok(Self { version, bytes: bytes.to_vec(), url_safe: true })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_something_else() {
        for bad in [
            "",
            "vault:",
            "vault:v1",
            "vault:v1:!",
            "vault:v0:AAAA",
            "vault:v01:AAAA",
            "vault:v+1:AAAA",
            "vault:v-1:AAAA",
            "vault:v99999999999999999999:AAAA",
            "Vault:v1:AAAA",
            "AAAA",
        ] {
            assert_eq!(bad.parse::<VersionedText>(), Err(MalformedText), "{bad}");
        }
    }

    #[test]
    fn line_breaks_within_do_not_matter() {
        for text in ["vault:v2:aGVs\nbG8=", "vault:v2:aGVsbG8=\n", "vault:v2:aGVs\r\nbG8"] {
            let read: VersionedText = text.parse().unwrap();
            assert_eq!((read.version, read.bytes.as_slice()), (2, &b"hello"[..]), "{text:?}");
        }
        assert!("vault:v\n2:aGVsbG8=".parse::<VersionedText>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            version in 1_u64..,
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            url_safe in any::<bool>(),
        ) {
            let text = VersionedText::new(version, bytes);
            let text = if url_safe { text.url_safe() } else { text };
            let read: VersionedText = text.to_string().parse().unwrap();
            prop_assert_eq!((read.version, read.bytes), (text.version, text.bytes));
        }

        #[test]
        fn never_panics(text in "(vault:v)?[0-9a-zA-Z:+/=_-]{0,40}") {
            let _ = text.parse::<VersionedText>();
        }
    }
}
