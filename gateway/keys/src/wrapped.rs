//! The format of wrapped bytes, which is the same for all keys: one byte for the format, a nonce, then
//! ciphertext and tag.

/// First byte of bytes that are wrapped with AES-256-GCM; a 12-byte nonce, the ciphertext and a 16-byte tag
/// follow.
pub const FORMAT_AES_GCM: u8 = 1;
/// Length of the nonce in bytes (NIST SP 800-38D §8.2).
pub(crate) const NONCE: usize = 12;
/// Length of the tag in bytes.
pub(crate) const TAG: usize = 16;

/// Joins the parts.
pub(crate) fn join(nonce: &[u8; NONCE], sealed: &[u8]) -> Vec<u8> {
    [&[FORMAT_AES_GCM], nonce.as_slice(), sealed].concat()
}

/// The nonce, and the ciphertext with its tag; none if the bytes were cut off or are something else.
pub(crate) fn parts(wrapped: &[u8]) -> Option<(&[u8; NONCE], &[u8])> {
    let (&FORMAT_AES_GCM, rest) = wrapped.split_first()? else { return None };
    rest.split_first_chunk().filter(|(_, sealed)| sealed.len() >= TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_cut_off_bytes_and_other_formats() {
        let good = join(&[7; NONCE], &[7; TAG]);
        assert_eq!(parts(&good), Some((&[7; NONCE], &[7; TAG][..])));
        assert_eq!(parts(&good[..good.len() - 1]), None);
        assert_eq!(parts(&[&[2], &good[1..]].concat()), None);
        assert_eq!(parts(&[]), None);
    }
}
