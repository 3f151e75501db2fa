//! The types of transit keys under Vault's names, and where private and secret keys are kept.

use std::str::FromStr;

use chancery_keys::KeyType;
use serde::{Deserialize, Serialize};

/// The kinds of key, under Vault's names: `aes256-gcm96`, `hmac`, `ecdsa-p256`, `rsa-3072`, `ml-dsa-65`….
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TransitKeyType {
    /// AES-256 in GCM with a random 96-bit nonce: encrypts and decrypts.
    Aes256Gcm96,
    /// A key for HMAC, of 32 bytes if it is made here.
    Hmac,
    /// A key pair: signs, and RSA decrypts too.
    Pair(KeyType),
}

/// The text names no kind of key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a type of key: use aes256-gcm96, hmac, ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, \
     rsa-2048, rsa-3072, rsa-4096, ml-dsa-44, ml-dsa-65 or ml-dsa-87"
)]
pub struct UnknownTransitKeyType(pub String);

/// Where the private half, or the secret, is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// In the store, sealed, and in this process's memory while it is used.
    #[default]
    Software,
    /// In the HSM, where it was made and from which it cannot be taken.
    Hsm,
}

/// The text names no place for keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a protection of keys: use software or hsm")]
pub struct UnknownProtection(pub String);

impl TransitKeyType {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm96 => "aes256-gcm96",
            Self::Hmac => "hmac",
            Self::Pair(key_type) => key_type.as_str(),
        }
    }

    /// Whether it is an RSA key pair.
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Pair(KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096))
    }

    /// Whether it encrypts and decrypts.
    pub fn encrypts(self) -> bool {
        self == Self::Aes256Gcm96 || self.is_rsa()
    }

    /// Whether it signs.
    pub fn signs(self) -> bool {
        matches!(self, Self::Pair(_))
    }
}

impl std::fmt::Display for TransitKeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TransitKeyType {
    type Err = UnknownTransitKeyType;

    fn from_str(text: &str) -> Result<Self, UnknownTransitKeyType> {
        match text {
            "aes256-gcm96" => Ok(Self::Aes256Gcm96),
            "hmac" => Ok(Self::Hmac),
            _ => text.parse().map(Self::Pair).map_err(|_| UnknownTransitKeyType(text.to_owned())),
        }
    }
}

impl TryFrom<String> for TransitKeyType {
    type Error = UnknownTransitKeyType;

    fn try_from(text: String) -> Result<Self, UnknownTransitKeyType> {
        text.parse()
    }
}

impl From<TransitKeyType> for String {
    fn from(key_type: TransitKeyType) -> Self {
        key_type.as_str().to_owned()
    }
}

impl Protection {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Hsm => "hsm",
        }
    }
}

impl FromStr for Protection {
    type Err = UnknownProtection;

    fn from_str(text: &str) -> Result<Self, UnknownProtection> {
        match text {
            "software" => Ok(Self::Software),
            "hsm" => Ok(Self::Hsm),
            _ => Err(UnknownProtection(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_told_what_there_is() {
        let pairs = KeyType::ALL.map(TransitKeyType::Pair);
        for key_type in pairs.into_iter().chain([TransitKeyType::Aes256Gcm96, TransitKeyType::Hmac])
        {
            assert_eq!(key_type.as_str().parse(), Ok(key_type));
        }
        let refused = "aes128-gcm96".parse::<TransitKeyType>().unwrap_err().to_string();
        assert!(refused.contains("aes128-gcm96") && refused.contains("aes256-gcm96"), "{refused}");
    }
}
