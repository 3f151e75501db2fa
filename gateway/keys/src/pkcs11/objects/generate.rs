//! Makes keys in a token.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, MlDsaParameterSetType as MlDsa, ObjectHandle};
use cryptoki::session::Session;

use super::public_key;
use crate::pkcs11::code::Code;
use crate::pkcs11::objects::directory::{KeyPair, WrappingKey};
use crate::pkcs11::{GenerateError, TokenSelector, Usage, token_metrics};
use crate::{KeyName, KeyType};

/// DER object identifiers of the curves, as `CKA_EC_PARAMS` wants them (RFC 5480 §2.1.1.1, RFC 8410
/// §3).
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// Makes a key pair in the token: the private half cannot be read or taken out.
pub(crate) fn key_pair(
    session: &Session,
    token: &TokenSelector,
    name: &KeyName,
    key_type: KeyType,
    usage: Usage,
) -> Result<KeyPair, GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::of_type(name, key_type, reason);
    let id = random_id().ok_or_else(|| failed(&NO_RANDOMNESS))?;
    let (mechanism, particular) = match key_type {
        KeyType::EcdsaP256 => (Mechanism::EccKeyPairGen, curve(P256)),
        KeyType::EcdsaP384 => (Mechanism::EccKeyPairGen, curve(P384)),
        KeyType::EcdsaP521 => (Mechanism::EccKeyPairGen, curve(P521)),
        KeyType::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, curve(ED25519)),
        KeyType::Rsa2048 => (Mechanism::RsaPkcsKeyPairGen, modulus(2048)),
        KeyType::Rsa3072 => (Mechanism::RsaPkcsKeyPairGen, modulus(3072)),
        KeyType::Rsa4096 => (Mechanism::RsaPkcsKeyPairGen, modulus(4096)),
        KeyType::MlDsa44 => (Mechanism::MlDsaKeyPairGen, parameter_set(MlDsa::ML_DSA_44)),
        KeyType::MlDsa65 => (Mechanism::MlDsaKeyPairGen, parameter_set(MlDsa::ML_DSA_65)),
        KeyType::MlDsa87 => (Mechanism::MlDsaKeyPairGen, parameter_set(MlDsa::ML_DSA_87)),
    };
    let mut public = identity(name, &id);
    public.push(Attribute::Private(false));
    public.extend(usage.of_public());
    public.extend(particular);
    let mut private = identity(name, &id);
    private.extend(unreadable());
    private.extend(usage.of_private());

    let (public, private) = session
        .generate_key_pair(&mechanism, &public, &private)
        .map_err(|error| failed(&Code(&error)))?;
    let checked = keep_if_unreadable(session, name, private)
        .and_then(|()| public_key::read(session, public).map_err(|error| failed(&error)));
    match checked {
        Ok(public) => {
            let signing = token_metrics::signing(token, name);
            Ok(KeyPair { name: name.clone(), id, public, usage, signing })
        }
        Err(error) => {
            discard(session, name, &[public, private]);
            Err(error)
        }
    }
}

/// Makes an AES-256 key in the token that encrypts and decrypts and cannot be taken out.
pub(crate) fn wrapping_key(
    session: &Session,
    name: &KeyName,
) -> Result<WrappingKey, GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::token(name, "aes-256", reason);
    let id = random_id().ok_or_else(|| failed(&NO_RANDOMNESS))?;
    let mut template = identity(name, &id);
    template.extend(unreadable());
    template.extend([
        Attribute::ValueLen(32.into()),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ]);
    let key = session
        .generate_key(&Mechanism::AesKeyGen, &template)
        .map_err(|error| failed(&Code(&error)))?;
    match keep_if_unreadable(session, name, key) {
        Ok(()) => Ok(WrappingKey { name: name.clone(), id }),
        Err(error) => {
            discard(session, name, &[key]);
            Err(error)
        }
    }
}

pub(crate) const NO_RANDOMNESS: &str = "the system gives no randomness for the key's id";

/// A random id, so that two keys never share one, even if several clients make keys.
pub(crate) fn random_id() -> Option<Vec<u8>> {
    let mut id = vec![0; 16];
    SystemRandom::new().fill(&mut id).ok()?;
    Some(id)
}

pub(crate) fn identity(name: &KeyName, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Label(name.as_str().as_bytes().to_vec()),
        Attribute::Id(id.to_vec()),
    ]
}

pub(crate) fn unreadable() -> [Attribute; 3] {
    [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)]
}

fn curve(oid: &[u8]) -> Vec<Attribute> {
    vec![Attribute::EcParams(oid.to_vec())]
}

fn modulus(bits: u64) -> Vec<Attribute> {
    vec![Attribute::ModulusBits(bits.into()), Attribute::PublicExponent(vec![1, 0, 1])]
}

fn parameter_set(set: MlDsa) -> Vec<Attribute> {
    vec![Attribute::ParameterSet(set.into())]
}

/// Keeps the key only if it cannot be read: some tokens ignore the template.
pub(crate) fn keep_if_unreadable(
    session: &Session,
    name: &KeyName,
    key: ObjectHandle,
) -> Result<(), GenerateError> {
    let attributes = session
        .get_attributes(key, &[AttributeType::Sensitive, AttributeType::Extractable])
        .map_err(|error| GenerateError::token(name, "reading it back", &Code(&error)))?;
    let sensitive = attributes.contains(&Attribute::Sensitive(true));
    let kept = attributes.contains(&Attribute::Extractable(false));
    if sensitive && kept { Ok(()) } else { Err(GenerateError::Exposed { key: name.clone() }) }
}

pub(crate) fn discard(session: &Session, name: &KeyName, objects: &[ObjectHandle]) {
    for object in objects {
        if let Err(error) = session.destroy_object(*object) {
            tracing::error!(key = %name, %error, "a refused key could not be deleted from the token");
        }
    }
}
