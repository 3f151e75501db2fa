use std::str::FromStr;

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use zeroize::Zeroizing;

/// The hash of an HMAC (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MacHash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The text names no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash for HMAC: use sha2-256, sha2-384 or sha2-512")]
pub struct UnknownMacHash(pub String);

impl FromStr for MacHash {
    type Err = UnknownMacHash;

    fn from_str(text: &str) -> Result<Self, UnknownMacHash> {
        match text {
            "sha2-256" => Ok(Self::Sha256),
            "sha2-384" => Ok(Self::Sha384),
            "sha2-512" => Ok(Self::Sha512),
            _ => Err(UnknownMacHash(text.to_owned())),
        }
    }
}

/// A key for HMAC.
pub(super) struct MacKey(pub(super) Zeroizing<Vec<u8>>);

impl MacKey {
    pub(super) fn mac(&self, hash: MacHash, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key(hash), message).as_ref().to_vec()
    }

    /// In constant time.
    pub(super) fn verify(&self, hash: MacHash, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key(hash), message, mac).is_ok()
    }

    fn key(&self, hash: MacHash) -> hmac::Key {
        let algorithm = match hash {
            MacHash::Sha256 => HMAC_SHA256,
            MacHash::Sha384 => HMAC_SHA384,
            MacHash::Sha512 => HMAC_SHA512,
        };
        hmac::Key::new(algorithm, &self.0)
    }
}
