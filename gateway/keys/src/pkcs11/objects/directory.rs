//! The keys of a token by their names.

use std::collections::HashMap;
use std::sync::Arc;

use chancery_x509::{KeyAlgorithm, PublicKey};
use cryptoki::error::Error;
use cryptoki::object::{
    Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::Session;
use dashmap::DashMap;
use metrics::Histogram;

use super::{attributes, inspection, public_key};
use crate::pkcs11::objects::public_key::Unreadable;
use crate::pkcs11::{TokenSelector, Usage, token_metrics};
use crate::{KeyName, SignError};

/// The keys that the token holds, read when it is reached and extended by what is generated here: so
/// that a question about a key costs no round trip, and no operation searches by label.
pub(crate) struct Directory {
    token: TokenSelector,
    entries: DashMap<KeyName, Entry>,
}

#[derive(Clone)]
pub(crate) enum Entry {
    /// A private key with its public half.
    Pair(Arc<KeyPair>),
    /// A secret key that wraps other keys.
    Wrapping(Arc<WrappingKey>),
    /// It cannot be used, for this reason.
    Unusable(&'static str),
    /// Several objects with this name or with this one's id: none of them is used.
    Ambiguous,
}

pub(crate) struct KeyPair {
    pub(crate) name: KeyName,
    /// `CKA_ID`, by which sessions find the private key.
    pub(crate) id: Vec<u8>,
    pub(crate) public: PublicKey,
    pub(crate) usage: Usage,
    /// How long the token takes for a signature.
    pub(crate) signing: Histogram,
}

pub(crate) struct WrappingKey {
    pub(crate) name: KeyName,
    /// `CKA_ID`, by which sessions find the key.
    pub(crate) id: Vec<u8>,
}

impl KeyPair {
    /// How long the modulus is; none of a key that is not of type RSA.
    pub(crate) fn modulus_bytes(&self) -> Option<usize> {
        match self.public.algorithm() {
            KeyAlgorithm::Rsa { bits } => usize::try_from(bits.div_ceil(8)).ok(),
            _ => None,
        }
    }
}

/// A key object that has a usable name.
struct Named {
    name: KeyName,
    id: Vec<u8>,
    usage: Usage,
    malformed: bool,
}

impl Directory {
    /// Of a token that was not reached yet.
    pub(crate) fn empty(token: TokenSelector) -> Self {
        Self { token, entries: DashMap::new() }
    }

    /// Reads all keys anew. Objects whose label is no [`KeyName`] belong to somebody else and are left
    /// out; keys that are malformed, or without `CKA_ID` or public half, are known as unusable.
    pub(crate) fn read(&self, session: &Session) -> Result<(), Error> {
        let mut private =
            named(session, &[Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true)])?;
        private.retain(|key| key.usage != Usage::NONE || key.malformed);
        let secret = named(
            session,
            &[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::Token(true),
                Attribute::KeyType(TokenKeyType::AES),
                Attribute::Encrypt(true),
            ],
        )?;
        let public = by_id(session)?;

        let mut names: HashMap<&KeyName, usize> = HashMap::new();
        let mut ids: HashMap<&[u8], usize> = HashMap::new();
        for key in private.iter().chain(&secret) {
            *names.entry(&key.name).or_default() += 1;
            if !key.id.is_empty() {
                *ids.entry(&key.id).or_default() += 1;
            }
        }
        let unique = |key: &Named| {
            let ids = ids.get(key.id.as_slice()).copied().unwrap_or(1);
            names.get(&key.name) == Some(&1) && ids == 1
        };

        let mut entries = HashMap::new();
        for key in &private {
            let halves = public.get(&key.id).map(Vec::as_slice).unwrap_or_default();
            let entry = match halves {
                _ if !unique(key) => Entry::Ambiguous,
                _ if key.malformed => Entry::Unusable(MALFORMED),
                _ if key.id.is_empty() => Entry::Unusable(NO_ID),
                [] => Entry::Unusable(NO_PUBLIC_KEY),
                [object] => match public_key::read(session, *object) {
                    Ok(public) => Entry::Pair(Arc::new(KeyPair {
                        name: key.name.clone(),
                        id: key.id.clone(),
                        public,
                        usage: key.usage,
                        signing: token_metrics::signing(&self.token, &key.name),
                    })),
                    Err(error) => {
                        tracing::warn!(key = %key.name, %error, "a public key cannot be read");
                        if let Unreadable::Token(error) = error {
                            attributes::expect_of_the_object(session, error)?;
                        }
                        Entry::Unusable(ODD_PUBLIC_KEY)
                    }
                },
                [_, _, ..] => Entry::Ambiguous,
            };
            entries.insert(key.name.clone(), entry);
        }
        for key in &secret {
            let entry = if unique(key) && key.malformed {
                Entry::Unusable(MALFORMED)
            } else if unique(key) && key.id.is_empty() {
                Entry::Unusable(NO_ID)
            } else if unique(key) {
                Entry::Wrapping(Arc::new(WrappingKey {
                    name: key.name.clone(),
                    id: key.id.clone(),
                }))
            } else {
                Entry::Ambiguous
            };
            entries.insert(key.name.clone(), entry);
        }
        self.entries.retain(|name, _| entries.contains_key(name));
        for (name, entry) in entries {
            self.entries.insert(name, entry);
        }
        Ok(())
    }

    pub(crate) fn contains(&self, name: &KeyName) -> bool {
        self.entries.contains_key(name)
    }

    pub(crate) fn insert(&self, name: KeyName, entry: Entry) {
        self.entries.insert(name, entry);
    }

    pub(crate) fn remove(&self, name: &KeyName) {
        self.entries.remove(name);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The private key of this name, if it signs.
    pub(crate) fn signing(&self, name: &KeyName) -> Result<Arc<KeyPair>, SignError> {
        self.pair_for(name, NO_SIGNING, |key| key.usage.sign)
    }

    /// The private key of this name, if it is of type RSA and decrypts.
    pub(crate) fn decrypting(&self, name: &KeyName) -> Result<Arc<KeyPair>, SignError> {
        self.pair_for(name, NO_DECRYPTION, |key| key.usage.decrypt && key.modulus_bytes().is_some())
    }

    /// The private key of this name, if it is of type RSA and unwraps other keys.
    pub(crate) fn unwrapping(&self, name: &KeyName) -> Result<Arc<KeyPair>, SignError> {
        self.pair_for(name, NO_UNWRAPPING, |key| key.usage.unwrap && key.modulus_bytes().is_some())
    }

    fn pair_for(
        &self,
        name: &KeyName,
        otherwise: &str,
        fits: impl Fn(&KeyPair) -> bool,
    ) -> Result<Arc<KeyPair>, SignError> {
        let key = self.pair(name)?;
        if fits(&key) { Ok(key) } else { Err(unusable(name, otherwise)) }
    }

    /// The private key of this name.
    pub(crate) fn pair(&self, name: &KeyName) -> Result<Arc<KeyPair>, SignError> {
        match self.entries.get(name).as_deref() {
            Some(Entry::Pair(key)) => Ok(Arc::clone(key)),
            Some(Entry::Ambiguous) => Err(SignError::Ambiguous { key: name.clone() }),
            Some(Entry::Unusable(reason)) => Err(unusable(name, reason)),
            Some(Entry::Wrapping(_)) | None => Err(SignError::UnknownKey { key: name.clone() }),
        }
    }

    /// The wrapping key of this name.
    pub(crate) fn wrapping(&self, name: &KeyName) -> Result<Arc<WrappingKey>, SignError> {
        match self.entries.get(name).as_deref() {
            Some(Entry::Wrapping(key)) => Ok(Arc::clone(key)),
            Some(Entry::Ambiguous) => Err(SignError::Ambiguous { key: name.clone() }),
            Some(Entry::Unusable(reason)) => Err(unusable(name, reason)),
            Some(Entry::Pair(_)) | None => Err(SignError::UnknownKey { key: name.clone() }),
        }
    }
}

fn unusable(name: &KeyName, reason: &str) -> SignError {
    SignError::Failed { key: name.clone(), reason: reason.to_owned() }
}

const MALFORMED: &str =
    "the token cannot say what it is (the log has why): repair or remove the object";
const NO_ID: &str = "it has no CKA_ID in the token; give it one (pkcs11-tool --set-id), and the \
                     public key the same";
const NO_PUBLIC_KEY: &str = "no public key in the token has the same CKA_ID";
const NO_SIGNING: &str = "it does not sign (CKA_SIGN)";
const NO_DECRYPTION: &str = "it does not decrypt (an RSA key with CKA_DECRYPT does)";
const NO_UNWRAPPING: &str = "it does not unwrap keys (an RSA key with CKA_UNWRAP does)";
const ODD_PUBLIC_KEY: &str = "its public key in the token is of a type that is not known here";

fn named(session: &Session, template: &[Attribute]) -> Result<Vec<Named>, Error> {
    let mut found = Vec::new();
    for handle in session.find_objects(template)? {
        let (mut label, mut id, mut usage) = (None, Vec::new(), Usage::NONE);
        let attributes::Seen { attributes, malformed } = attributes::read(session, handle, &ASKED)?;
        for attribute in attributes {
            match attribute {
                Attribute::Label(bytes) => label = String::from_utf8(bytes).ok(),
                Attribute::Id(bytes) => id = bytes,
                Attribute::Sign(may) => usage.sign = may,
                Attribute::Decrypt(may) => usage.decrypt = may,
                Attribute::Unwrap(may) => usage.unwrap = may,
                _ => {}
            }
        }
        if let Some(why) = &malformed {
            let id = inspection::hex(&id);
            tracing::warn!(
                why,
                label = label.as_deref().unwrap_or("(not legible)"),
                id,
                %handle,
                "a key in the token is malformed and cannot be used"
            );
        }
        let Some(Ok(name)) = label.map(|label| label.parse()) else { continue };
        found.push(Named { name, id, usage, malformed: malformed.is_some() });
    }
    Ok(found)
}

const ASKED: [AttributeType; 5] = [
    AttributeType::Label,
    AttributeType::Id,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
];

fn by_id(session: &Session) -> Result<HashMap<Vec<u8>, Vec<ObjectHandle>>, Error> {
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Token(true)];
    let mut found: HashMap<Vec<u8>, Vec<ObjectHandle>> = HashMap::new();
    for handle in session.find_objects(&template)? {
        let attributes::Seen { attributes, malformed } =
            attributes::read(session, handle, &[AttributeType::Id])?;
        if let Some(why) = malformed {
            tracing::warn!(why, %handle, "a public key in the token is malformed and cannot be used");
        }
        for attribute in attributes {
            if let Attribute::Id(id) = attribute {
                found.entry(id).or_default().push(handle);
            }
        }
    }
    Ok(found)
}
