use std::collections::HashMap;
use std::sync::Arc;

use chancery_x509::PublicKey;
use cryptoki::error::Error;
use cryptoki::object::{
    Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::Session;
use dashmap::DashMap;
use metrics::Histogram;

use super::{TokenSelector, meters, public_key};
use crate::{KeyName, SignError};

/// The keys that the token holds, read when it is reached and extended by what is generated here: so
/// that a question about a key costs no round trip, and no operation searches by label.
pub(super) struct Directory {
    token: TokenSelector,
    entries: DashMap<KeyName, Entry>,
}

#[derive(Clone)]
pub(super) enum Entry {
    /// A private key with its public half.
    Signing(Arc<SigningKey>),
    /// A secret key that wraps other keys.
    Wrapping(Arc<WrappingKey>),
    /// It cannot be used, for this reason.
    Unusable(&'static str),
    /// Several objects with this name or with this one's id: none of them is used.
    Ambiguous,
}

pub(super) struct SigningKey {
    pub(super) name: KeyName,
    /// `CKA_ID`, by which sessions find the private key.
    pub(super) id: Vec<u8>,
    pub(super) public: PublicKey,
    /// How long the token takes for a signature.
    pub(super) signing: Histogram,
}

pub(super) struct WrappingKey {
    pub(super) name: KeyName,
    /// `CKA_ID`, by which sessions find the key.
    pub(super) id: Vec<u8>,
}

/// A key object that has a usable name.
struct Named {
    name: KeyName,
    id: Vec<u8>,
}

impl Directory {
    /// Of a token that was not reached yet.
    pub(super) fn empty(token: TokenSelector) -> Self {
        Self { token, entries: DashMap::new() }
    }

    /// Reads all keys anew. Objects whose label is no [`KeyName`] belong to somebody else and are left
    /// out; keys without `CKA_ID` or public half are known as unusable.
    pub(super) fn read(&self, session: &Session) -> Result<(), Error> {
        let private = named(
            session,
            &[
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::Token(true),
                Attribute::Sign(true),
            ],
        )?;
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
                _ if key.id.is_empty() => Entry::Unusable(NO_ID),
                [] => Entry::Unusable(NO_PUBLIC_KEY),
                [object] => match public_key::read(session, *object) {
                    Ok(public) => Entry::Signing(Arc::new(SigningKey {
                        name: key.name.clone(),
                        id: key.id.clone(),
                        public,
                        signing: meters::signing(&self.token, &key.name),
                    })),
                    Err(error) => {
                        tracing::warn!(key = %key.name, %error, "a public key cannot be read");
                        Entry::Unusable(ODD_PUBLIC_KEY)
                    }
                },
                [_, _, ..] => Entry::Ambiguous,
            };
            entries.insert(key.name.clone(), entry);
        }
        for key in &secret {
            let entry = if unique(key) && key.id.is_empty() {
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

    pub(super) fn contains(&self, name: &KeyName) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn insert(&self, name: KeyName, entry: Entry) {
        self.entries.insert(name, entry);
    }

    pub(super) fn remove(&self, name: &KeyName) {
        self.entries.remove(name);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The private key of this name.
    pub(super) fn signing(&self, name: &KeyName) -> Result<Arc<SigningKey>, SignError> {
        match self.entries.get(name).as_deref() {
            Some(Entry::Signing(key)) => Ok(Arc::clone(key)),
            Some(Entry::Ambiguous) => Err(SignError::Ambiguous { key: name.clone() }),
            Some(Entry::Unusable(reason)) => Err(unusable(name, reason)),
            Some(Entry::Wrapping(_)) | None => Err(SignError::UnknownKey { key: name.clone() }),
        }
    }

    /// The wrapping key of this name.
    pub(super) fn wrapping(&self, name: &KeyName) -> Result<Arc<WrappingKey>, SignError> {
        match self.entries.get(name).as_deref() {
            Some(Entry::Wrapping(key)) => Ok(Arc::clone(key)),
            Some(Entry::Ambiguous) => Err(SignError::Ambiguous { key: name.clone() }),
            Some(Entry::Unusable(reason)) => Err(unusable(name, reason)),
            Some(Entry::Signing(_)) | None => Err(SignError::UnknownKey { key: name.clone() }),
        }
    }
}

fn unusable(name: &KeyName, reason: &str) -> SignError {
    SignError::Failed { key: name.clone(), reason: reason.to_owned() }
}

const NO_ID: &str = "it has no CKA_ID in the token; give it one (pkcs11-tool --set-id), and the \
                     public key the same";
const NO_PUBLIC_KEY: &str = "no public key in the token has the same CKA_ID";
const ODD_PUBLIC_KEY: &str = "its public key in the token is of a type that is not known here";

fn named(session: &Session, template: &[Attribute]) -> Result<Vec<Named>, Error> {
    let mut found = Vec::new();
    for object in session.find_objects(template)? {
        let Some((label, id)) = label_and_id(session, object)? else { continue };
        let Ok(name) = label.parse::<KeyName>() else { continue };
        found.push(Named { name, id });
    }
    Ok(found)
}

fn label_and_id(
    session: &Session,
    object: ObjectHandle,
) -> Result<Option<(String, Vec<u8>)>, Error> {
    let (mut label, mut key_id) = (None, Vec::new());
    for attribute in session.get_attributes(object, &[AttributeType::Label, AttributeType::Id])? {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8(bytes).ok(),
            Attribute::Id(bytes) => key_id = bytes,
            _ => {}
        }
    }
    Ok(label.map(|label| (label, key_id)))
}

fn by_id(session: &Session) -> Result<HashMap<Vec<u8>, Vec<ObjectHandle>>, Error> {
    let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Token(true)];
    let mut found: HashMap<Vec<u8>, Vec<ObjectHandle>> = HashMap::new();
    for object in session.find_objects(&template)? {
        for attribute in session.get_attributes(object, &[AttributeType::Id])? {
            if let Attribute::Id(id) = attribute {
                found.entry(id).or_default().push(object);
            }
        }
    }
    Ok(found)
}
