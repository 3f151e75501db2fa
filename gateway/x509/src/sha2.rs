//! The hashes of the SHA-2 family, under Vault's names.

use std::str::FromStr;

/// A hash of the family SHA-2 (FIPS 180-4), under Vault's names: `sha2-256`, `sha2-384`, `sha2-512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
