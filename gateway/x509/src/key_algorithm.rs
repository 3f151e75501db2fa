//! The kinds of public key, and how a `SubjectPublicKeyInfo` names them.

use const_oid::db::{fips204, rfc5912, rfc8410};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Sequence};
use spki::SubjectPublicKeyInfoRef;

use crate::weak_key;

/// The kinds of key in certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// RSA with a modulus of this many bits.
    Rsa {
        /// Length of the modulus.
        bits: u32,
    },
    /// Ed25519.
    Ed25519,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
}

/// The bytes are not a public key that is supported here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The DER is broken.
    #[error("the public key is not a DER SubjectPublicKeyInfo: {0}")]
    Malformed(der::Error),
    /// Another kind of key, or an unusual encoding of parameters.
    #[error(
        "public keys of type {algorithm} are not supported here: use ECDSA P-256, P-384 or P-521, \
         RSA, Ed25519 or ML-DSA"
    )]
    Unsupported {
        /// The algorithm's, or the curve's, object identifier.
        algorithm: ObjectIdentifier,
    },
    /// The algorithm's parameters are not what its RFC prescribes.
    #[error("the parameters of the public key's algorithm {algorithm} are missing or not allowed")]
    Parameters {
        /// The algorithm's object identifier.
        algorithm: ObjectIdentifier,
    },
    /// Not an uncompressed point on the named curve.
    #[error("the elliptic-curve public key is not an uncompressed point on its curve")]
    InvalidPoint,
    /// An Ed25519 or ML-DSA key that is too short or too long.
    #[error("the public key does not have the length that its algorithm prescribes")]
    InvalidLength,
}

const WITHOUT_PARAMETERS: [(ObjectIdentifier, KeyAlgorithm); 4] = [
    (rfc8410::ID_ED_25519, KeyAlgorithm::Ed25519),
    (fips204::ID_ML_DSA_44, KeyAlgorithm::MlDsa44),
    (fips204::ID_ML_DSA_65, KeyAlgorithm::MlDsa65),
    (fips204::ID_ML_DSA_87, KeyAlgorithm::MlDsa87),
];

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
pub(crate) struct RsaPublicKey<'a> {
    pub(crate) modulus: UintRef<'a>,
    pub(crate) exponent: UintRef<'a>,
}

impl KeyAlgorithm {
    /// Whether looking at a key of this kind, or at a signature made with it, keeps a processor for more than
    /// about half a millisecond: too long for an async thread.
    pub fn is_expensive(self) -> bool {
        match self {
            Self::EcdsaP521 => true,
            Self::Rsa { bits } => bits > 4096,
            Self::EcdsaP256
            | Self::EcdsaP384
            | Self::Ed25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => false,
        }
    }
}

impl std::fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("ecdsa-p256"),
            Self::EcdsaP384 => f.write_str("ecdsa-p384"),
            Self::EcdsaP521 => f.write_str("ecdsa-p521"),
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::MlDsa44 => f.write_str("ml-dsa-44"),
            Self::MlDsa65 => f.write_str("ml-dsa-65"),
            Self::MlDsa87 => f.write_str("ml-dsa-87"),
        }
    }
}

/// The kind of the key in a `SubjectPublicKeyInfo` whose bit string is `bits`.
pub(crate) fn of(
    spki: &SubjectPublicKeyInfoRef<'_>,
    bits: &[u8],
) -> Result<KeyAlgorithm, KeyError> {
    let algorithm = spki.algorithm.oid;
    let parameters = spki.algorithm.parameters;
    match algorithm {
        // RFC 5480 §2.1.1: the parameter is a named curve.
        rfc5912::ID_EC_PUBLIC_KEY => {
            let curve = parameters
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                .ok_or(KeyError::Parameters { algorithm })?;
            let (found, length) = match curve {
                rfc5912::SECP_256_R_1 => (KeyAlgorithm::EcdsaP256, 65),
                rfc5912::SECP_384_R_1 => (KeyAlgorithm::EcdsaP384, 97),
                rfc5912::SECP_521_R_1 => (KeyAlgorithm::EcdsaP521, 133),
                other => return Err(KeyError::Unsupported { algorithm: other }),
            };
            // Compressed points are legal and break clients; nobody generates them.
            if bits.len() == length && bits.first() == Some(&4) {
                Ok(found)
            } else {
                Err(KeyError::InvalidPoint)
            }
        }
        // RFC 3279 §2.3.1: the parameter is NULL.
        rfc5912::RSA_ENCRYPTION => {
            if !parameters.is_some_and(der::AnyRef::is_null) {
                return Err(KeyError::Parameters { algorithm });
            }
            let key = RsaPublicKey::from_der(bits).map_err(malformed)?;
            Ok(KeyAlgorithm::Rsa { bits: weak_key::bit_length(key.modulus.as_bytes()) })
        }
        // RFC 8410 §3 and RFC 9881 §4: there are no parameters.
        algorithm => {
            let (_, found) = WITHOUT_PARAMETERS
                .into_iter()
                .find(|(oid, _)| *oid == algorithm)
                .ok_or(KeyError::Unsupported { algorithm })?;
            if parameters.is_some() {
                return Err(KeyError::Parameters { algorithm });
            }
            Ok(found)
        }
    }
}

pub(crate) fn malformed(error: der::Error) -> KeyError {
    KeyError::Malformed(error)
}
