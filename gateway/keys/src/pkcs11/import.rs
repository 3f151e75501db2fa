//! Bringing keys into a token: wrapped, since private keys enter most tokens in no other way.

use chancery_x509::{KeyAlgorithm, PublicKey};
use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType as TokenKeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use crate::KeyName;
use crate::pkcs11::code::Code;
use crate::pkcs11::objects::directory::{KeyPair, WrappingKey};
use crate::pkcs11::objects::generate::{
    NO_RANDOMNESS, discard, identity, keep_if_unreadable, random_id, unreadable,
};
use crate::pkcs11::objects::public_key;
use crate::pkcs11::operations::wrap;
use crate::pkcs11::pool::TokenPool;
use crate::pkcs11::{GenerateError, Usage, token_metrics};
use crate::software::{self, AES_KEY_BYTES, OaepHash, generate_secret};

/// A key that is brought into a token, as it arrives.
pub enum Brought {
    /// In the clear: PKCS#8 (RFC 5958), unencrypted, or the bytes of a secret. It is wrapped with AES here.
    Plain(Zeroizing<Vec<u8>>),
    /// [Wrapped](crate::software::wrap_key) to an RSA key in the token, which unwraps it: it is in the clear
    /// nowhere else.
    Wrapped {
        /// The RSA key.
        to: KeyName,
        /// The hash in OAEP.
        hash: OaepHash,
        /// What `CKM_RSA_AES_KEY_WRAP` made: an AES key encrypted with OAEP, and what that one wraps.
        bytes: Vec<u8>,
    },
}

impl From<Zeroizing<Vec<u8>>> for Brought {
    fn from(plain: Zeroizing<Vec<u8>>) -> Self {
        Self::Plain(plain)
    }
}

/// Brings a private key with its public half into the token, where it cannot be read or taken out.
pub(crate) fn key_pair(
    session: &Session,
    pool: &TokenPool,
    name: &KeyName,
    brought: &Brought,
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
    let private = unwrapped(session, pool, name, brought, &template)?;
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
    let signing = token_metrics::signing(pool.token.selector(), name);
    Ok(KeyPair { name: name.clone(), id, public: public.clone(), usage, signing })
}

/// Brings an AES-256 key into the token, where it encrypts, decrypts, and cannot be read or taken out.
pub(crate) fn wrapping_key(
    session: &Session,
    pool: &TokenPool,
    name: &KeyName,
    brought: &Brought,
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
    let key = unwrapped(session, pool, name, brought, &template)?;
    keep_if_unreadable(session, name, key).inspect_err(|_| discard(session, name, &[key]))?;
    Ok(WrappingKey { name: name.clone(), id })
}

/// Whether the token unwraps keys that were wrapped to this one of its RSA keys, with this hash in OAEP: it
/// is tried.
pub(crate) fn try_unwrapping(
    session: &Session,
    pool: &TokenPool,
    name: &KeyName,
    hash: OaepHash,
) -> Result<(), GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::token(name, WHAT, reason);
    let to = pool.keys.unwrapping(name).map_err(|error| failed(&error))?;
    let probe = generate_secret(AES_KEY_BYTES).ok_or_else(|| failed(&NO_RANDOMNESS))?;
    let wrapped = software::encrypt(&to.public, hash, &probe).map_err(|error| failed(&error))?;
    let between = between(session, &to, hash, &wrapped).map_err(|reason| failed(&reason))?;
    discard(session, name, &[between]);
    Ok(())
}

const WHAT: &str = "brought in";

/// What AES-KWP makes of 32 bytes (RFC 5649 §4.1), and of the few less that are no AES key. Not every token
/// tells how long a key is that it unwrapped.
const AES_256_WRAPPED: usize = AES_KEY_BYTES + 8;

/// Has the token unwrap the key.
fn unwrapped(
    session: &Session,
    pool: &TokenPool,
    name: &KeyName,
    brought: &Brought,
    template: &[Attribute],
) -> Result<ObjectHandle, GenerateError> {
    let failed = |reason: &dyn std::fmt::Display| GenerateError::token(name, WHAT, reason);
    let (unwrapping, wrapped) = match brought {
        Brought::Plain(secret) => {
            let key = generate_secret(AES_KEY_BYTES).ok_or_else(|| failed(&NO_RANDOMNESS))?;
            let wrapped = software::wrap_with(&key, secret);
            let wrapped = wrapped.ok_or_else(|| failed(&"the key cannot be wrapped"))?;
            let template = [&BETWEEN[..], &[Attribute::Value(key.to_vec())]].concat();
            let key = session.create_object(&template).map_err(|error| failed(&Code(&error)))?;
            (key, wrapped)
        }
        Brought::Wrapped { to, hash, bytes } => {
            let to = pool.keys.unwrapping(to).map_err(|error| failed(&error))?;
            let split = to.modulus_bytes().and_then(|length| bytes.split_at_checked(length));
            let (first, second) = split.ok_or_else(|| failed(&"it is shorter than the RSA key"))?;
            if template.contains(&Attribute::KeyType(TokenKeyType::AES))
                && second.len() != AES_256_WRAPPED
            {
                return Err(failed(&"it is not an AES key of 256 bits"));
            }
            let key = between(session, &to, *hash, first).map_err(|reason| failed(&reason))?;
            (key, second.to_vec())
        }
    };
    let key = session.unwrap_key(&Mechanism::AesKeyWrapPad, unwrapping, &wrapped, template);
    discard(session, name, &[unwrapping]);
    key.map_err(|error| failed(&Code(&error)))
}

/// The AES key between the RSA key and the one that is brought in, unwrapped in the token.
fn between(
    session: &Session,
    to: &KeyPair,
    hash: OaepHash,
    wrapped: &[u8],
) -> Result<ObjectHandle, String> {
    let said = |error: Error| Code(&error).to_string();
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Token(true),
        Attribute::Id(to.id.clone()),
    ];
    let found = session.find_objects(&template).map_err(said)?;
    let [private] = found.as_slice() else {
        return Err(format!(
            "the token has {} private keys with the id of {}",
            found.len(),
            to.name
        ));
    };
    let template =
        [&BETWEEN[..], &[Attribute::Sensitive(true), Attribute::Extractable(false)]].concat();
    session.unwrap_key(&wrap::oaep(hash), *private, wrapped, &template).map_err(said)
}

/// An AES key that lives as long as the session and does nothing but unwrap.
const BETWEEN: [Attribute; 5] = [
    Attribute::Class(ObjectClass::SECRET_KEY),
    Attribute::KeyType(TokenKeyType::AES),
    Attribute::Token(false),
    Attribute::Private(true),
    Attribute::Unwrap(true),
];
