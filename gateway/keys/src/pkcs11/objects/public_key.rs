//! Reads the public half of a key pair from its object.

use chancery_x509::{KeyAlgorithm, PublicKey};
use cryptoki::error::Error;
use cryptoki::object::{
    Attribute, AttributeType, KeyType as TokenKeyType, MlDsaParameterSetType as MlDsa, ObjectHandle,
};
use cryptoki::session::Session;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};

use crate::pkcs11::code::Code;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// Why an object is no public key that can be used here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{}", Code(.0))]
    Token(#[from] Error),
    #[error("it lacks the attributes of a public key of a supported type")]
    Incomplete,
    #[error("its attributes are not valid DER: {0}")]
    Der(#[from] der::Error),
    #[error("{0}")]
    Key(#[from] chancery_x509::KeyError),
}

/// Reads a public-key object.
pub(crate) fn read(session: &Session, object: ObjectHandle) -> Result<PublicKey, Unreadable> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::ParameterSet,
        AttributeType::Value,
    ];
    let mut parts = Parts::default();
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::KeyType(found) => parts.key_type = Some(found),
            Attribute::EcParams(found) => parts.curve = found,
            Attribute::EcPoint(found) => parts.point = found,
            Attribute::Modulus(found) => parts.modulus = found,
            Attribute::PublicExponent(found) => parts.exponent = found,
            Attribute::ParameterSet(found) => parts.ml_dsa = Some(found.into()),
            Attribute::Value(found) => parts.value = found,
            _ => {}
        }
    }
    Ok(PublicKey::from_spki_der(&parts.spki()?)?)
}

/// The attributes of a public-key object that say which key it is: the reverse of [`read`].
pub(crate) fn attributes(key: &PublicKey) -> Result<Vec<Attribute>, Unreadable> {
    let spki = SubjectPublicKeyInfoRef::from_der(key.spki_der())?;
    let point = || OctetStringRef::new(key.key_bits())?.to_der();
    Ok(match key.algorithm() {
        KeyAlgorithm::Rsa { .. } => {
            let key = RsaPublicKey::from_der(key.key_bits())?;
            vec![
                Attribute::Modulus(key.modulus.as_bytes().to_vec()),
                Attribute::PublicExponent(key.exponent.as_bytes().to_vec()),
            ]
        }
        KeyAlgorithm::Ed25519 => {
            vec![Attribute::EcParams(ED25519.to_der()?), Attribute::EcPoint(point()?)]
        }
        _ => {
            let curve = spki.algorithm.parameters.ok_or(Unreadable::Incomplete)?;
            vec![Attribute::EcParams(curve.to_der()?), Attribute::EcPoint(point()?)]
        }
    })
}

#[derive(Default)]
struct Parts {
    key_type: Option<TokenKeyType>,
    curve: Vec<u8>,
    point: Vec<u8>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    ml_dsa: Option<MlDsa>,
    value: Vec<u8>,
}

impl Parts {
    /// Puts a DER `SubjectPublicKeyInfo` together (RFC 5480 §2, RFC 3279 §2.3.1, RFC 8410 §4,
    /// RFC 9881 §4).
    fn spki(&self) -> Result<Vec<u8>, Unreadable> {
        match self.key_type {
            Some(TokenKeyType::EC) => {
                let curve = AnyRef::from_der(&self.curve)?;
                wrap(EC_PUBLIC_KEY, Some(curve), unwrapped(&self.point))
            }
            Some(TokenKeyType::EC_EDWARDS) => wrap(ED25519, None, unwrapped(&self.point)),
            Some(TokenKeyType::RSA) => {
                let key = RsaPublicKey {
                    modulus: UintRef::new(&self.modulus)?,
                    exponent: UintRef::new(&self.exponent)?,
                };
                wrap(RSA_ENCRYPTION, Some(AnyRef::NULL), &key.to_der()?)
            }
            Some(TokenKeyType::ML_DSA) => match self.ml_dsa {
                Some(MlDsa::ML_DSA_44) => wrap(ML_DSA_44, None, &self.value),
                Some(MlDsa::ML_DSA_65) => wrap(ML_DSA_65, None, &self.value),
                Some(MlDsa::ML_DSA_87) => wrap(ML_DSA_87, None, &self.value),
                _ => Err(Unreadable::Incomplete),
            },
            _ => Err(Unreadable::Incomplete),
        }
    }
}

/// `CKA_EC_POINT` is the point in a DER octet string (PKCS#11 v2.40 §2.3.3), but some tokens give
/// the bare point.
fn unwrapped(point: &[u8]) -> &[u8] {
    <&OctetStringRef>::from_der(point).map_or(point, OctetStringRef::as_bytes)
}

fn wrap(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Vec<u8>, Unreadable> {
    let spki = SubjectPublicKeyInfo {
        algorithm: AlgorithmIdentifier { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(key)?,
    };
    Ok(spki.to_der()?)
}
