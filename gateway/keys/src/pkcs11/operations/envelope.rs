//! Secrets under a key of their own, which is encrypted to an RSA key in a token.
//!
//! The format: one byte for the format, one for the hash in OAEP, two for the length of the encrypted
//! key (big-endian), an AES-256 key encrypted with RSA-OAEP, and the secret wrapped by that key.

use chancery_x509::PublicKey;
use zeroize::Zeroizing;

use crate::software::{self, OaepError, OaepHash};

/// First byte; secrets that an AES key wrapped begin with another one.
const FORMAT: u8 = 2;

const HASHES: [OaepHash; 4] =
    [OaepHash::Sha1, OaepHash::Sha256, OaepHash::Sha384, OaepHash::Sha512];

/// An envelope, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    pub(crate) hash: OaepHash,
    /// The AES-256 key, encrypted.
    pub(crate) key: &'a [u8],
    content: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// None if the bytes were cut off or are something else.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&FORMAT, rest) = bytes.split_first()? else { return None };
        let (&hash, rest) = rest.split_first()?;
        let hash = HASHES.into_iter().find(|known| byte(*known) == hash)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, content) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some(Self { hash, key, content })
    }

    /// The content, opened with the decrypted key. None if anything was changed.
    pub(crate) fn open(&self, key: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        software::open(key, self.content, aad)
    }

    fn to_bytes(&self) -> Vec<u8> {
        // No RSA key is that long.
        let length = u16::try_from(self.key.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&[FORMAT, byte(self.hash)], length.as_slice(), self.key, self.content].concat()
    }
}

/// Encrypts a secret to the holder of the private half.
///
/// # Errors
/// It is not an RSA key; or [`OaepError::Refused`], if the system gives no randomness.
pub(crate) fn enclose(
    to: &PublicKey,
    hash: OaepHash,
    plaintext: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, OaepError> {
    let (key, content) = software::seal(plaintext, aad).ok_or(OaepError::Refused)?;
    let key = software::encrypt(to, hash, key.as_slice())?;
    Ok(Envelope { hash, key: &key, content: &content }.to_bytes())
}

fn byte(hash: OaepHash) -> u8 {
    match hash {
        OaepHash::Sha1 => 1,
        OaepHash::Sha256 => 2,
        OaepHash::Sha384 => 3,
        OaepHash::Sha512 => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_read_back_and_cut_off_ones_do_not() {
        for hash in HASHES {
            let envelope = Envelope { hash, key: &[9; 256], content: &[] };
            let bytes = envelope.to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(Envelope::parse(&bytes[..end]), None, "{end}");
            }
            assert_eq!(Envelope::parse(&bytes), Some(envelope));
            let other_hash = [&bytes[..1], &[9], &bytes[2..]].concat();
            assert_eq!(Envelope::parse(&other_hash), None);
            assert_eq!(Envelope::parse(&[&[1], &bytes[1..]].concat()), None);
        }
    }
}
