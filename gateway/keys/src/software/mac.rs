use std::str::FromStr;

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use zeroize::Zeroizing;

/// A hash of the family SHA-2 (FIPS 180-4), under Vault's names: `sha2-256`, `sha2-384`, `sha2-512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sha2 {
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
#[error("`{0}` is not a hash: use sha2-256, sha2-384 or sha2-512")]
pub struct UnknownSha2(pub String);

impl FromStr for Sha2 {
    type Err = UnknownSha2;

    fn from_str(text: &str) -> Result<Self, UnknownSha2> {
        match text {
            "sha2-256" => Ok(Self::Sha256),
            "sha2-384" => Ok(Self::Sha384),
            "sha2-512" => Ok(Self::Sha512),
            _ => Err(UnknownSha2(text.to_owned())),
        }
    }
}

/// A key for HMAC.
pub(super) struct MacKey(pub(super) Zeroizing<Vec<u8>>);

impl MacKey {
    pub(super) fn mac(&self, hash: Sha2, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key(hash), message).as_ref().to_vec()
    }

    /// In constant time.
    pub(super) fn verify(&self, hash: Sha2, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key(hash), message, mac).is_ok()
    }

    fn key(&self, hash: Sha2) -> hmac::Key {
        let algorithm = match hash {
            Sha2::Sha256 => HMAC_SHA256,
            Sha2::Sha384 => HMAC_SHA384,
            Sha2::Sha512 => HMAC_SHA512,
        };
        hmac::Key::new(algorithm, &self.0)
    }
}
