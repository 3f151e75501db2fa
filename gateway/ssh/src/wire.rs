//! The encoding of RFC 4251 §5.

/// A string: its length in four bytes, and its bytes.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here is near 4 GiB; what is longer would be cut off and verify nowhere.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A non-negative number: no superfluous zero bytes, but one before a set sign bit.
pub(crate) fn put_mpint(out: &mut Vec<u8>, number: &[u8]) {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let significant = number.get(start..).unwrap_or_default();
    let sign = significant.first().is_some_and(|first| first & 0x80 != 0);
    let mut bytes = vec![0; usize::from(sign)];
    bytes.extend_from_slice(significant);
    put_string(out, &bytes);
}

/// Takes a string off the front; none if there is no whole one.
pub(crate) fn take_string<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_rfc_4251_shows_them() {
        let shown = |number: &[u8]| {
            let mut out = vec![];
            put_mpint(&mut out, number);
            out
        };
        assert_eq!(shown(&[0]), [0, 0, 0, 0]);
        assert_eq!(shown(&[0, 0x80]), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(shown(&[0x09, 0xa3]), [0, 0, 0, 2, 0x09, 0xa3]);
    }

    #[test]
    fn what_is_cut_off_is_no_string() {
        let mut whole = vec![];
        put_string(&mut whole, b"abc");
        assert_eq!(take_string(&mut &whole[..]), Some(&b"abc"[..]));
        for end in 0..whole.len() {
            assert_eq!(take_string(&mut &whole[..end]), None, "{end}");
        }
    }
}
