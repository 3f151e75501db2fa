//! What the token says about its keys, for auditors.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::attributes;
use crate::pkcs11::TokenSelector;

/// A private or secret key in a token, as the token describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as many as PKCS#11 has attributes for it")]
pub struct TokenKey {
    /// The token's label or serial number, as configured.
    pub token: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID` in hex.
    pub id: String,
    /// Whether it is a private key; if not, it is a secret key.
    pub is_private: bool,
    /// `CKA_SENSITIVE`: its value cannot be read.
    pub sensitive: bool,
    /// `CKA_EXTRACTABLE`: it can be taken out wrapped.
    pub extractable: bool,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: bool,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: bool,
    /// `CKA_LOCAL`: it was made in this token.
    pub local: bool,
    /// Whether the gateway can use it by its label.
    pub usable: bool,
}

/// The token could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the token {token} cannot be read: {reason}")]
pub struct InspectError {
    /// The token's label or serial number.
    pub token: String,
    /// Why.
    pub reason: String,
}

impl TokenKey {
    /// Whether it can neither be read nor be taken out. A key that once could be, or was made
    /// elsewhere, may have copies: see the other fields.
    pub fn is_protected(&self) -> bool {
        self.sensitive && !self.extractable
    }
}

/// Reads all private and secret keys.
pub(crate) fn keys(
    session: &Session,
    token: &TokenSelector,
    is_usable: impl Fn(&str) -> bool,
) -> Result<Vec<TokenKey>, Error> {
    let mut found = Vec::new();
    for (class, is_private) in [(ObjectClass::PRIVATE_KEY, true), (ObjectClass::SECRET_KEY, false)]
    {
        let template = [Attribute::Class(class), Attribute::Token(true)];
        for object in session.find_objects(&template)? {
            let mut key = key(session, object, token)?;
            key.is_private = is_private;
            key.usable = is_usable(&key.label);
            found.push(key);
        }
    }
    found.sort_by(|one, other| one.label.cmp(&other.label));
    Ok(found)
}

fn key(session: &Session, object: ObjectHandle, token: &TokenSelector) -> Result<TokenKey, Error> {
    const ASKED: [AttributeType; 7] = [
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    // If the token does not give an attribute, assume the worse value.
    let mut key = TokenKey {
        token: token.value().to_owned(),
        label: String::new(),
        id: String::new(),
        is_private: true,
        sensitive: false,
        extractable: true,
        always_sensitive: false,
        never_extractable: false,
        local: false,
        usable: false,
    };
    let attributes::Seen { attributes, malformed } = attributes::read(session, object, &ASKED)?;
    if let Some(why) = malformed {
        tracing::warn!(why, handle = %object, "a key in the token is malformed");
    }
    for attribute in attributes {
        match attribute {
            Attribute::Label(label) => key.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::Id(id) => {
                key.id = hex(&id);
            }
            Attribute::Sensitive(is) => key.sensitive = is,
            Attribute::Extractable(is) => key.extractable = is,
            Attribute::AlwaysSensitive(is) => key.always_sensitive = is,
            Attribute::NeverExtractable(is) => key.never_extractable = is,
            Attribute::Local(is) => key.local = is,
            _ => {}
        }
    }
    Ok(key)
}

pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
