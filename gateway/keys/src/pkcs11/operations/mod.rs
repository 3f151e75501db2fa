//! What a session does with a key.

pub(crate) mod envelope;
pub(crate) mod sign;
pub(crate) mod wrap;

use std::sync::Arc;

use chancery_x509::SignatureAlgorithm;
use zeroize::Zeroizing;

use crate::KeyName;
use crate::pkcs11::fault::Fault;
use crate::pkcs11::objects::directory::{KeyPair, WrappingKey};
use crate::software::OaepHash;

/// An operation for a session.
pub(crate) enum Operation {
    Sign { key: Arc<KeyPair>, algorithm: SignatureAlgorithm, message: Vec<u8> },
    Wrap { key: Arc<WrappingKey>, plaintext: Zeroizing<Vec<u8>>, aad: Vec<u8> },
    Unwrap { key: Arc<WrappingKey>, wrapped: Vec<u8>, aad: Vec<u8> },
    Decrypt { key: Arc<KeyPair>, hash: OaepHash, ciphertext: Vec<u8> },
}

impl Operation {
    pub(crate) fn key(&self) -> &KeyName {
        match self {
            Self::Sign { key, .. } | Self::Decrypt { key, .. } => &key.name,
            Self::Wrap { key, .. } | Self::Unwrap { key, .. } => &key.name,
        }
    }
}

/// The outcome of an operation in a session: the result, or what went wrong in the token.
pub(crate) type Outcome = Result<Zeroizing<Vec<u8>>, Fault>;
