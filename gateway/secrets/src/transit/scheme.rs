//! How messages are signed, and how signatures are written.

use chancery_keys::KeyType;
use chancery_x509::{PssSalt, Sha2, ecdsa};

use super::{TransitError, TransitKeyType, VersionedText};

/// How messages are signed. What is none is as usual for the type of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signing {
    /// With which hash: the one as strong as the curve for ECDSA, else SHA-256. Ed25519 and ML-DSA have
    /// their own.
    pub hash: Option<Sha2>,
    /// With which padding, for RSA: PSS.
    pub padding: Option<Padding>,
    /// With how long a salt, for PSS. Signatures are made with one as long as the hash.
    pub salt: PssSalt,
    /// How signatures of ECDSA are written.
    pub marshaling: Marshaling,
}

/// How RSA pads what it signs (RFC 8017 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// RSASSA-PSS.
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1v15,
}

/// How a signature of ECDSA is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marshaling {
    /// As in X.509: two DER integers.
    #[default]
    Asn1,
    /// As in JOSE: r and s side by side (RFC 7518 §3.4), and base64 of its kind for all types of key.
    Jws,
}

impl Marshaling {
    pub(super) fn write(
        self,
        key_type: TransitKeyType,
        version: u64,
        signature: Vec<u8>,
    ) -> Result<VersionedText, TransitError> {
        if self == Self::Asn1 {
            return Ok(VersionedText::new(version, signature));
        }
        let signature = match order_bytes(key_type) {
            Some(length) => ecdsa::fixed_from_der(&signature, length)
                .ok_or_else(|| TransitError::Broken("no signature of ECDSA".to_owned()))?,
            None => signature,
        };
        Ok(VersionedText::new(version, signature).url_safe())
    }

    /// The signature in the form of X.509; none if it is none.
    pub(super) fn read(self, key_type: TransitKeyType, signature: &[u8]) -> Option<Vec<u8>> {
        match (self, order_bytes(key_type)) {
            (Self::Jws, Some(length)) => {
                ecdsa::der_from_fixed(signature).filter(|_| signature.len() == length * 2)
            }
            _ => Some(signature.to_vec()),
        }
    }
}

/// Length of the numbers in a signature of ECDSA.
fn order_bytes(key_type: TransitKeyType) -> Option<usize> {
    match key_type {
        TransitKeyType::Pair(KeyType::EcdsaP256) => Some(32),
        TransitKeyType::Pair(KeyType::EcdsaP384) => Some(48),
        TransitKeyType::Pair(KeyType::EcdsaP521) => Some(66),
        _ => None,
    }
}
