//! Decodes paths of requests, and refuses encoded separators and relative segments.

use chancery_secrets::kv::InvalidPath;
use percent_encoding::percent_decode_str;

use super::error::VaultError;

/// Decodes what a client had to encode in a path, and refuses what it had no honest reason to: an
/// encoded slash or dot, which would make the path mean one thing before decoding and another after.
///
/// # Errors
/// [`InvalidPath`], as for the decoded text; or text that is not UTF-8.
pub(super) fn decode(raw: &str) -> Result<String, VaultError> {
    let hidden = |b: &[u8]| matches!(b, [b'%', b'2', b'e' | b'E' | b'f' | b'F']);
    if raw.as_bytes().windows(3).any(hidden) {
        return Err(InvalidPath::EncodedSeparator.into());
    }
    let text = percent_decode_str(raw)
        .decode_utf8()
        .map_err(|_| VaultError::BadRequest("the path is not UTF-8".into()))?;
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(InvalidPath::Relative.into());
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_had_to_be_encoded() {
        assert_eq!(decode("app/a%20b/%C3%A9%25").unwrap(), "app/a b/é%");
        assert_eq!(decode("").unwrap(), "");
    }

    #[test]
    fn encoded_slashes_and_dots_are_refused_in_every_spelling() {
        for bad in ["a%2fb", "a%2Fb", "%2e%2e/x", "%2E", "a/%2e./b", "..", "a/./b", "%ff", "a%c3"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
