//! Base64url as JWS uses it (RFC 7515 §2): written without padding, read with or without.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// RFC 7515 §2 wants no padding and that is what is written; some clients pad all the same, so
/// padding is tolerated when reading. Bits beyond the last byte must be zero: each value has one
/// spelling apart from padding.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text is not base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64url (RFC 7515 §2)")]
pub struct NotBase64Url;

/// `bytes` in base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE.encode(bytes)
}

/// The bytes that `text` spells, padded or not.
///
/// # Errors
/// [`NotBase64Url`] for any other alphabet, white space or left-over bits.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, NotBase64Url> {
    URL_SAFE.decode(text).map_err(|_| NotBase64Url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tolerates_padding_and_nothing_else() {
        assert_eq!(decode("YQ").unwrap(), b"a");
        assert_eq!(decode("YQ==").unwrap(), b"a");
        for bad in ["YR", "Y", "Y Q", "YQ\n", "+/+/", "YQ==YQ"] {
            assert_eq!(decode(bad), Err(NotBase64Url), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert!(!text.contains('='));
            prop_assert_eq!(decode(text).unwrap(), bytes);
        }
    }
}
