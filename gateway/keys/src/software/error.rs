//! The errors of generating and inserting software keys.

use crate::KeyName;

/// Why a key was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The bytes are not an unencrypted PKCS#8 key (RFC 5958) of a supported type, or not a secret key of
    /// the right length.
    #[error(
        "the key for `{name}` is not an unencrypted PKCS#8 private key of type ECDSA P-256, P-384 or \
         P-521, RSA, Ed25519 or ML-DSA, or not a secret key of the right length"
    )]
    Malformed {
        /// The name it was to have.
        name: KeyName,
    },
    /// The key is too weak to be used.
    #[error("the key for `{name}` is refused: {reason}")]
    Weak {
        /// The name it was to have.
        name: KeyName,
        /// What is weak about it.
        reason: String,
    },
    /// Another key has the name already.
    #[error("another key is already called `{name}`; remove it first or choose another name")]
    Exists {
        /// The name.
        name: KeyName,
    },
}

/// The cryptographic library could not make a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not generate a key of type {key_type}")]
pub struct GenerateError {
    /// The type asked for.
    pub key_type: crate::KeyType,
}
