//! Derives the tokens of an order's challenges from one random key.

use aws_lc_rs::{hmac, rand};
use serde::{Deserialize, Serialize};

use crate::challenge::ChallengeType;
use crate::error::InternalError;
use crate::jws::base64url;

const LENGTH: usize = 32;

/// What the tokens of an order's challenges are derived from, so that a hundred names with three
/// challenges each need one random number. It is in the order's sealed record only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenKey([u8; LENGTH]);

impl TokenKey {
    /// A new one.
    ///
    /// # Errors
    /// [`InternalError::NoRandomness`].
    pub fn random() -> Result<Self, InternalError> {
        let mut bytes = [0; LENGTH];
        rand::fill(&mut bytes).map_err(|_| InternalError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The token of a challenge for the name at this place: 256 bits in base64url (RFC 8555 §8.1 wants
    /// at least 128), which nobody can tell who does not have the key.
    pub(crate) fn token(&self, place: u16, kind: ChallengeType) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(&place.to_be_bytes());
        context.update(kind.as_str().as_bytes());
        base64url::encode(context.sign())
    }
}

impl TryFrom<String> for TokenKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = base64url::decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("a key for tokens is 32 bytes in base64url")
    }
}

impl From<TokenKey> for String {
    fn from(key: TokenKey) -> Self {
        base64url::encode(key.0)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use ChallengeType::{Dns01, Http01, TlsAlpn01};

    #[test]
    fn tokens_are_long_the_same_each_time_and_never_another_s() {
        let (one, other) = (TokenKey::random().unwrap(), TokenKey::random().unwrap());
        assert_eq!(one.token(0, Http01), one.token(0, Http01));
        assert_eq!(one.token(0, Http01).len(), 43);
        let mut all = HashSet::new();
        for key in [&one, &other] {
            for place in [0, 1, 256, u16::MAX] {
                for kind in [Http01, Dns01, TlsAlpn01] {
                    assert!(all.insert(key.token(place, kind)));
                }
            }
        }
    }

    #[test]
    fn is_stored_whole_and_shown_nowhere() {
        let key = TokenKey::random().unwrap();
        let stored = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<TokenKey>(&stored).unwrap(), key);
        assert!(serde_json::from_str::<TokenKey>(r#""AAAA""#).is_err());
        assert!(!format!("{key:?}").contains(stored.trim_matches('"')));
    }
}
