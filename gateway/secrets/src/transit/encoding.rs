//! Decodes base64 and base64url (RFC 4648) as clients of Vault write them.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// With the padding, and whatever the last digit says of bits that are not there: as Go reads it.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The form of JOSE (RFC 7515 §2).
const JOSE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The bytes with this text in base64 (RFC 4648 §4), which may have line breaks, as `base64` and PEM write
/// them; none if it is something else.
pub fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(&PADDED, text)
}

/// The same in the alphabet of URLs, without padding.
pub(super) fn from_base64_url(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(&JOSE, text)
}

fn decode(form: &GeneralPurpose, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_break = |c| matches!(c, '\r' | '\n');
    if !text.contains(is_break) {
        return form.decode(text.as_bytes()).ok().map(Zeroizing::new);
    }
    let mut line = Zeroizing::new(String::with_capacity(text.len()));
    text.split(is_break).for_each(|part| line.push_str(part));
    form.decode(line.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_breaks_are_passed_over_and_nothing_else_is() {
        for good in ["aGVsbG8=", "aGVs\nbG8=", "aGVs\r\nbG8=\r\n", "\naGVsbG8=\n", "aGVsbG9="] {
            assert_eq!(from_base64(good).unwrap().as_slice(), b"hello", "{good:?}");
        }
        assert_eq!(from_base64("").unwrap().as_slice(), b"");
        for bad in ["aGVs bG8=", " aGVsbG8=", "aGVs\tbG8=", "aGVsbG8", "aGVsbG8_", "!", "aGVsbG8=="]
        {
            assert!(from_base64(bad).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_broken_into_lines_anywhere_is_read_again(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            width in 1_usize..80,
        ) {
            let text = STANDARD.encode(&bytes);
            let lines: Vec<&str> =
                text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            prop_assert_eq!(from_base64(&lines.join("\n")).unwrap().to_vec(), bytes);
        }
    }
}
