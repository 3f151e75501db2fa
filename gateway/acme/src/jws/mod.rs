//! JSON Web Signatures in the one shape that ACME allows (RFC 8555 §6.2): flattened serialization
//! (RFC 7515 §7.2.2), one signature, everything protected, `jwk` or `kid` and never both.
//!
//! A [`SignedRequest`] keeps its payload to itself until [`SignedRequest::verify`] has checked the
//! signature, so that no code can act on what nobody signed.

/// Base64url as RFC 7515 §2 has it.
pub mod base64url;
mod key;
mod object;
mod unreadable;

pub use key::{ALGORITHMS, AccountKey, Algorithm, BadKey, OfferedKey};
pub use object::Object;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::unreadable::object;

/// The largest request body that is looked at, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Why a signed request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not the shape of RFC 8555 §6.2.
    #[error("malformed JWS: {0}")]
    Malformed(String),
    /// `alg` is none of [`ALGORITHMS`], or not the one that goes with the key.
    #[error("algorithm `{0}` cannot be used with this key: use ES256, ES384, RS256 or EdDSA")]
    BadAlgorithm(String),
    /// The `jwk` is no usable public key.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// The signature is not the key's.
    #[error("the signature does not verify under the key that the request names")]
    BadSignature,
}

/// Who says that they signed.
#[derive(Debug, Clone)]
pub enum Signer {
    /// A bare key (`jwk`): for new accounts, and for revocation by a certificate's key. It has not been looked
    /// at yet.
    Key(OfferedKey),
    /// An account by its URL (`kid`).
    Account(String),
}

/// A parsed request whose signature has not been checked yet.
#[derive(Debug)]
pub struct SignedRequest {
    algorithm: Algorithm,
    nonce: Option<String>,
    url: String,
    signer: Signer,
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What the signer signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

/// Members that nobody knows are ignored (RFC 7515 §7.2.1). Of those that are known, an unprotected header and
/// further signatures are refused (RFC 8555 §6.2).
#[derive(Deserialize)]
struct Flattened<'a> {
    #[serde(borrow)]
    protected: Cow<'a, str>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    header: Option<serde::de::IgnoredAny>,
    signatures: Option<serde::de::IgnoredAny>,
}

/// Unknown header parameters are ignored as RFC 7515 §4 requires; `crit` names those that must not
/// be, and none are known here.
#[derive(Deserialize)]
struct ProtectedHeader {
    alg: String,
    nonce: Option<String>,
    url: Option<String>,
    jwk: Option<Object<OfferedKey>>,
    kid: Option<String>,
    /// Whether it is there at all: `null` is no list of names either.
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    /// The option of RFC 7797, which RFC 8555 §6.2 forbids.
    #[serde(default, deserialize_with = "is_there")]
    b64: bool,
}

impl SignedRequest {
    /// Reads a request body.
    ///
    /// # Errors
    /// [`JwsError`] for everything but [`JwsError::BadSignature`], which only
    /// [`verify`](Self::verify) can find.
    pub fn parse(body: &[u8]) -> Result<Self, JwsError> {
        if body.len() > MAX_BODY {
            return Err(malformed(format_args!("longer than {MAX_BODY} bytes")));
        }
        let outer: Flattened<'_> = object(body).map_err(|error| {
            malformed(format_args!(
                "expected an object with `protected`, `payload` and `signature`: {error}"
            ))
        })?;
        if outer.header.is_some() {
            return Err(malformed(format_args!("an unprotected `header` (RFC 8555 §6.2)")));
        }
        if outer.signatures.is_some() {
            return Err(malformed(format_args!("several `signatures` (RFC 8555 §6.2)")));
        }
        let header: ProtectedHeader = object(&part("protected", &outer.protected)?)
            .map_err(|error| malformed(format_args!("the protected header: {error}")))?;
        if header.crit {
            return Err(malformed(format_args!("`crit` names extensions that are not supported")));
        }
        if header.b64 {
            return Err(malformed(format_args!("`b64`, which RFC 8555 §6.2 does not allow")));
        }
        let algorithm = Algorithm::from_name(&header.alg)
            .ok_or_else(|| JwsError::BadAlgorithm(header.alg.chars().take(40).collect()))?;
        let signer = match (header.jwk, header.kid) {
            (Some(Object(jwk)), None) => Signer::Key(jwk),
            (None, Some(kid)) => Signer::Account(kid),
            (Some(_), Some(_)) => return Err(malformed(format_args!("both `jwk` and `kid`"))),
            (None, None) => return Err(malformed(format_args!("neither `jwk` nor `kid`"))),
        };
        Ok(Self {
            algorithm,
            nonce: header.nonce,
            url: header.url.ok_or_else(|| malformed(format_args!("no `url` in the header")))?,
            signer,
            signing_input: [&outer.protected, ".", &outer.payload].concat().into_bytes(),
            payload: part("payload", &outer.payload)?,
            signature: part("signature", &outer.signature)?,
        })
    }

    /// The anti-replay nonce, if there is one (RFC 8555 §6.5). An inner JWS has none.
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The URL that the client meant to send this to (RFC 8555 §6.4).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who is said to have signed.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Gives the payload if `key` signed this request.
    ///
    /// # Errors
    /// [`JwsError::BadSignature`] if the signature does not verify. If `alg` is not the key's:
    /// [`JwsError::BadKey`] where the request brings the key along, and so could have brought one that fits,
    /// else [`JwsError::BadAlgorithm`].
    pub fn verify(self, key: &AccountKey) -> Result<Payload, JwsError> {
        if key.algorithm() != self.algorithm {
            return Err(match self.signer {
                Signer::Key(_) => BadKey::OtherAlgorithm {
                    alg: self.algorithm.name(),
                    fits: key.algorithm().name(),
                }
                .into(),
                Signer::Account(_) => JwsError::BadAlgorithm(self.algorithm.name().to_owned()),
            });
        }
        if key.verifies(&self.signing_input, &self.signature) {
            Ok(Payload(self.payload))
        } else {
            Err(JwsError::BadSignature)
        }
    }
}

impl Payload {
    /// Whether this is a POST-as-GET (RFC 8555 §6.3).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The payload as JSON.
    ///
    /// # Errors
    /// [`JwsError::Malformed`] saying what is wrong and where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JwsError> {
        object(&self.0).map_err(|error| malformed(format_args!("the payload: {error}")))
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Takes any value of a member.
fn is_there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(value).map(|_| true)
}

fn part(name: &str, text: &str) -> Result<Vec<u8>, JwsError> {
    base64url::decode(text).map_err(|error| malformed(format_args!("`{name}` is {error}")))
}

fn malformed(what: std::fmt::Arguments<'_>) -> JwsError {
    JwsError::Malformed(what.to_string())
}

#[cfg(test)]
mod tests;
