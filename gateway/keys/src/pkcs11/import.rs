//! Bringing keys into a token: wrapped with AES, since private keys enter most tokens in no other way.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap, KeyWrapPadded};
use chancery_x509::{KeyAlgorithm, PublicKey};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType as TokenKeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::code::Code;
use super::directory::{KeyPair, WrappingKey};
use super::generate::{
    NO_RANDOMNESS, discard, identity, keep_if_unreadable, random_id, unreadable,
};
use super::{GenerateError, TokenSelector, Usage, meters, public_key};
use crate::KeyName;
use crate::software::{AES_KEY_BYTES, generate_secret};

/// Brings a private key (PKCS#8) with its public half into the token, where it cannot be read or taken out.
pub(super) fn key_pair(
    session: &Session,
    token: &TokenSelector,
    name: &KeyName,
    pkcs8: &Zeroizing<Vec<u8>>,
    public: &PublicKey,
    usage: Usage,
) -> Result<KeyPair, GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::token(name, WHAT, reason);
    let id = random_id().ok_or_else(|| failed(&NO_RANDOMNESS))?;
    let kind = match public.algorithm() {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
            TokenKeyType::EC
        }
        KeyAlgorithm::Rsa { .. } => TokenKeyType::RSA,
        KeyAlgorithm::Ed25519 => TokenKeyType::EC_EDWARDS,
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => {
            return Err(failed(&"keys of this type are made in the token, not brought into it"));
        }
    };
    let mut template = identity(name, &id);
    template.extend(unreadable());
    template.extend(usage.of_private());
    template.extend([Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(kind)]);
    let private = unwrapped(session, name, pkcs8, &Mechanism::AesKeyWrapPad, &template)?;
    let mut template = identity(name, &id);
    template.extend([
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(kind),
        Attribute::Private(false),
    ]);
    template.extend(usage.of_public());
    let made =
        public_key::attributes(public).map_err(|error| failed(&error)).and_then(|particular| {
            template.extend(particular);
            session.create_object(&template).map_err(|error| failed(&Code(&error)))
        });
    let object = made.inspect_err(|_| discard(session, name, &[private]))?;
    let checked = keep_if_unreadable(session, name, private);
    checked.inspect_err(|_| discard(session, name, &[private, object]))?;
    let signing = meters::signing(token, name);
    Ok(KeyPair { name: name.clone(), id, public: public.clone(), usage, signing })
}

/// Brings an AES-256 key into the token, where it encrypts, decrypts, and cannot be read or taken out.
pub(super) fn wrapping_key(
    session: &Session,
    name: &KeyName,
    secret: &Zeroizing<Vec<u8>>,
) -> Result<WrappingKey, GenerateError> {
    let id = random_id().ok_or_else(|| GenerateError::token(name, WHAT, &NO_RANDOMNESS))?;
    let mut template = identity(name, &id);
    template.extend(unreadable());
    template.extend([
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(TokenKeyType::AES),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ]);
    let key = unwrapped(session, name, secret, &Mechanism::AesKeyWrap, &template)?;
    keep_if_unreadable(session, name, key).inspect_err(|_| discard(session, name, &[key]))?;
    Ok(WrappingKey { name: name.clone(), id })
}

const WHAT: &str = "brought in";

/// Wraps a key here under a key that lives as long as the session, and has the token unwrap it.
fn unwrapped(
    session: &Session,
    name: &KeyName,
    secret: &Zeroizing<Vec<u8>>,
    mechanism: &Mechanism<'_>,
    template: &[Attribute],
) -> Result<ObjectHandle, GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::token(name, WHAT, reason);
    let between = generate_secret(AES_KEY_BYTES).ok_or_else(|| failed(&NO_RANDOMNESS))?;
    let wrapped = wrapped(&between, secret, mechanism);
    let wrapped = wrapped.ok_or_else(|| failed(&"the key cannot be wrapped"))?;
    let unwrapping = session
        .create_object(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(TokenKeyType::AES),
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Value(between.to_vec()),
            Attribute::Unwrap(true),
        ])
        .map_err(|error| failed(&Code(&error)))?;
    let key = session.unwrap_key(mechanism, unwrapping, &wrapped, template);
    discard(session, name, &[unwrapping]);
    key.map_err(|error| failed(&Code(&error)))
}

fn wrapped(between: &[u8], secret: &[u8], mechanism: &Mechanism<'_>) -> Option<Vec<u8>> {
    let kek = AesKek::new(&AES_256, between).ok()?;
    let mut out = vec![0; secret.len() + 16];
    let length = match mechanism {
        Mechanism::AesKeyWrapPad => kek.wrap_with_padding(secret, &mut out).ok()?.len(),
        _ => kek.wrap(secret, &mut out).ok()?.len(),
    };
    out.truncate(length);
    Some(out)
}
