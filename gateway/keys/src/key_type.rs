//! The key types that can be generated, their names and their default signature algorithms.

use std::str::FromStr;

use chancery_x509::{KeyAlgorithm, SignatureAlgorithm};
use serde::{Deserialize, Serialize};

/// The kinds of key that can be generated. Written in configuration as `ecdsa-p256`, `rsa-3072`…
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyType {
    /// ECDSA over NIST P-256.
    EcdsaP256,
    /// ECDSA over NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521 (FIPS 186-5).
    EcdsaP521,
    /// RSA with a modulus of 2,048 bits.
    Rsa2048,
    /// RSA with a modulus of 3,072 bits.
    Rsa3072,
    /// RSA with a modulus of 4,096 bits.
    Rsa4096,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ML-DSA-44 (FIPS 204): resists quantum computers, security category 2.
    MlDsa44,
    /// ML-DSA-65 (FIPS 204), category 3.
    MlDsa65,
    /// ML-DSA-87 (FIPS 204), category 5.
    MlDsa87,
}

/// The text names no kind of key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a key type: use ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096, \
     ed25519, ml-dsa-44, ml-dsa-65 or ml-dsa-87"
)]
pub struct UnknownKeyType(pub String);

impl KeyType {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The kind that makes keys of this algorithm; none for RSA of another length.
    pub fn of(algorithm: KeyAlgorithm) -> Option<Self> {
        Some(match algorithm {
            KeyAlgorithm::EcdsaP256 => Self::EcdsaP256,
            KeyAlgorithm::EcdsaP384 => Self::EcdsaP384,
            KeyAlgorithm::EcdsaP521 => Self::EcdsaP521,
            KeyAlgorithm::Rsa { bits: 2048 } => Self::Rsa2048,
            KeyAlgorithm::Rsa { bits: 3072 } => Self::Rsa3072,
            KeyAlgorithm::Rsa { bits: 4096 } => Self::Rsa4096,
            KeyAlgorithm::Rsa { .. } => return None,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
            KeyAlgorithm::MlDsa44 => Self::MlDsa44,
            KeyAlgorithm::MlDsa65 => Self::MlDsa65,
            KeyAlgorithm::MlDsa87 => Self::MlDsa87,
        })
    }

    /// The name in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// The signature algorithm that a CA with such a key uses unless told otherwise: the hash as
    /// strong as the curve (FIPS 186-5 §6.1.1), SHA-256 with PKCS#1 v1.5 for RSA because every
    /// client understands it.
    pub fn default_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::EcdsaP521 => SignatureAlgorithm::EcdsaP521Sha512,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::MlDsa44 => SignatureAlgorithm::MlDsa44,
            Self::MlDsa65 => SignatureAlgorithm::MlDsa65,
            Self::MlDsa87 => SignatureAlgorithm::MlDsa87,
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| UnknownKeyType(text.to_owned()))
    }
}

impl TryFrom<String> for KeyType {
    type Error = UnknownKeyType;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyType> for String {
    fn from(key_type: KeyType) -> Self {
        key_type.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for kind in KeyType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        let refused = "rsa-1024".parse::<KeyType>().unwrap_err().to_string();
        assert!(refused.contains("rsa-1024") && refused.contains("ecdsa-p256"), "{refused}");
    }
}
