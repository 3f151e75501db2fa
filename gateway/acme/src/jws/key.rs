//! Public keys of accounts as JSON Web Keys (RFC 7517), and the signature algorithms that are accepted.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use chancery_x509::PublicKey;
use serde::{Deserialize, Serialize};

use super::base64url;

/// The signature algorithms that are accepted (RFC 7518 §3.1, RFC 8037 §3.1), as `alg` spells them.
/// MAC-based ones are for external account binding only and `none` for nobody (RFC 8555 §6.2).
pub const ALGORITHMS: [&str; 4] = ["ES256", "ES384", "RS256", "EdDSA"];

/// The longest number in an RSA key, in bytes: 8,192 bits, the largest keys that clients make (`lego --key-type
/// rsa8192`).
const LONGEST_NUMBER: usize = 1024;
/// The longest modulus that is looked at on an async thread, in bytes.
const CHEAP_RSA_BYTES: usize = 512;

/// A signature algorithm out of [`ALGORITHMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm that `alg` names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "RS256" => Some(Self::Rs256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    /// The name in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &ECDSA_P384_SHA384_FIXED,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::EdDsa => &ED25519,
        }
    }
}

/// The public key of an account (or, for a revocation, of a certificate): a JSON Web Key (RFC 7517)
/// whose shape and strength have been checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredJwk", into = "Jwk")]
pub struct AccountKey {
    jwk: CanonicalJwk,
    spki: Vec<u8>,
}

/// Why a JSON Web Key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The key type or curve is not supported.
    #[error("key type `{0}` is not supported: use EC P-256, EC P-384, RSA or OKP Ed25519")]
    Unsupported(String),
    /// A member is missing, not base64url or of the wrong length.
    #[error("the member `{0}` of the key is missing or malformed (RFC 7518 §6)")]
    Member(&'static str),
    /// The key has private members: it was just disclosed and must not be used.
    #[error("this is a private key (it has `d`): send the public part, and replace this key")]
    Private,
    /// The numbers do not make a key: a point off the curve, an even modulus.
    #[error("the numbers do not make a public key")]
    NotAKey,
    /// The key goes with another signature algorithm than the one that the request says.
    #[error("the key does not go with the algorithm {alg} in the header: it signs with {fits}")]
    OtherAlgorithm {
        /// What the request says.
        alg: &'static str,
        /// What goes with the key.
        fits: &'static str,
    },
    /// A key that an attacker could break, or larger than anybody needs.
    #[error("weak key: {0}")]
    Weak(String),
}

/// A JSON Web Key that nobody has looked at yet: doing so may take long, and is only worth it for a request
/// that is not refused for its URL or its nonce.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct OfferedKey(Jwk);

/// A JSON Web Key as it arrives; what else RFC 7517 §4 allows in it is ignored.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing)]
    d: Option<serde::de::IgnoredAny>,
}

/// A key that was checked when it first came: looking for weaknesses again would cost more than
/// the signature of each request.
#[derive(Deserialize)]
#[serde(transparent)]
struct StoredJwk(Jwk);

#[derive(Clone, PartialEq, Eq)]
enum CanonicalJwk {
    P256 { x: [u8; 32], y: [u8; 32] },
    P384 { x: [u8; 48], y: [u8; 48] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519 { x: [u8; 32] },
}

impl AccountKey {
    /// The algorithm that goes with the key. Each kind of key has exactly one.
    pub fn algorithm(&self) -> Algorithm {
        match self.jwk {
            CanonicalJwk::P256 { .. } => Algorithm::Es256,
            CanonicalJwk::P384 { .. } => Algorithm::Es384,
            CanonicalJwk::Rsa { .. } => Algorithm::Rs256,
            CanonicalJwk::Ed25519 { .. } => Algorithm::EdDsa,
        }
    }

    /// Whether to verify with it takes too long for an async thread.
    pub fn is_expensive(&self) -> bool {
        matches!(&self.jwk, CanonicalJwk::Rsa { n, .. } if n.len() > CHEAP_RSA_BYTES)
    }

    /// The key as a SubjectPublicKeyInfo in DER, to compare with the keys of certificates.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The base64url of the SHA-256 over the canonical form (RFC 7638 §3): what a key authorization
    /// contains (RFC 8555 §8.1).
    pub fn thumbprint(&self) -> String {
        let canonical = match &self.jwk {
            CanonicalJwk::P256 { x, y } => ec_json("P-256", x, y),
            CanonicalJwk::P384 { x, y } => ec_json("P-384", x, y),
            CanonicalJwk::Rsa { n, e } => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                base64url::encode(e),
                base64url::encode(n)
            ),
            CanonicalJwk::Ed25519 { x } => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x))
            }
        };
        base64url::encode(digest(&SHA256, canonical.as_bytes()))
    }

    /// Whether `signature` over `message` is this key's, in the form of RFC 7518 §3 (for ECDSA the
    /// two numbers side by side, not DER).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ParsedPublicKey::new(self.algorithm().verification(), &self.spki)
            .is_ok_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

fn ec_json(curve: &str, x: &[u8], y: &[u8]) -> String {
    let (x, y) = (base64url::encode(x), base64url::encode(y));
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

impl OfferedKey {
    /// The key, if it is well-formed and strong. Takes up to some milliseconds for a large RSA key.
    ///
    /// # Errors
    /// [`BadKey`]; what is too large is refused before any arithmetic.
    pub fn check(self) -> Result<AccountKey, BadKey> {
        let found = AccountKey::try_from(StoredJwk(self.0))?;
        let key = PublicKey::from_spki_der(&found.spki).map_err(|_| BadKey::NotAKey)?;
        key.check_strength().map_err(|weak| BadKey::Weak(weak.to_string()))?;
        Ok(found)
    }

    /// Whether to [check](Self::check) it takes too long for an async thread.
    pub fn is_expensive(&self) -> bool {
        // Base64url has four characters for three bytes.
        let length = self.0.n.as_ref().map_or(0, String::len);
        self.0.kty == "RSA" && length > (CHEAP_RSA_BYTES * 4).div_ceil(3)
    }
}

impl std::fmt::Debug for OfferedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OfferedKey").field(&self.0.kty).finish()
    }
}

impl TryFrom<StoredJwk> for AccountKey {
    type Error = BadKey;

    fn try_from(StoredJwk(jwk): StoredJwk) -> Result<Self, BadKey> {
        if jwk.d.is_some() {
            return Err(BadKey::Private);
        }
        let jwk = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                CanonicalJwk::P256 { x: fixed("x", jwk.x)?, y: fixed("y", jwk.y)? }
            }
            ("EC", Some("P-384")) => {
                CanonicalJwk::P384 { x: fixed("x", jwk.x)?, y: fixed("y", jwk.y)? }
            }
            ("OKP", Some("Ed25519")) => CanonicalJwk::Ed25519 { x: fixed("x", jwk.x)? },
            ("RSA", _) => CanonicalJwk::Rsa { n: number("n", jwk.n)?, e: number("e", jwk.e)? },
            (kty, crv) => {
                let crv = crv.map(|crv| format!(" {crv}")).unwrap_or_default();
                let named = format!("{kty}{crv}");
                return Err(BadKey::Unsupported(named.chars().take(40).collect()));
            }
        };
        let spki = spki_der(&jwk)?;
        Ok(Self { jwk, spki })
    }
}

/// Coordinates are left-padded to the size of the field (RFC 7518 §6.2.1.2).
fn fixed<const N: usize>(name: &'static str, text: Option<String>) -> Result<[u8; N], BadKey> {
    let bytes = base64url::decode(text.unwrap_or_default()).map_err(|_| BadKey::Member(name))?;
    bytes.try_into().map_err(|_| BadKey::Member(name))
}

/// Numbers should have no leading zeros (RFC 7518 §2, Base64urlUInt). Some libraries write one in front of
/// the modulus all the same (RFC 7518 §6.3.1.1); without it a key has one thumbprint.
fn number(name: &'static str, text: Option<String>) -> Result<Vec<u8>, BadKey> {
    let bytes = base64url::decode(text.unwrap_or_default()).map_err(|_| BadKey::Member(name))?;
    let start = bytes.iter().position(|byte| *byte != 0).ok_or(BadKey::Member(name))?;
    let number = bytes.get(start..).unwrap_or_default().to_vec();
    if number.len() > LONGEST_NUMBER {
        return Err(BadKey::Weak(format!(
            "the member `{name}` of the RSA key has more than {} bits",
            LONGEST_NUMBER * 8
        )));
    }
    Ok(number)
}

fn spki_der(jwk: &CanonicalJwk) -> Result<Vec<u8>, BadKey> {
    // SubjectPublicKeyInfo up to the key itself (RFC 5480 §2, RFC 8410 §4); an uncompressed point
    // begins with 4.
    const P256: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    const P384: &str = "3076301006072a8648ce3d020106052b8104002203620004";
    const ED25519: &str = "302a300506032b6570032100";
    let with_prefix = |prefix: &str, parts: &[&[u8]]| {
        let prefix = hex::decode(prefix).map_err(|_| BadKey::NotAKey)?;
        Ok([prefix.as_slice()].iter().chain(parts).copied().collect::<Vec<_>>().concat())
    };
    match jwk {
        CanonicalJwk::P256 { x, y } => with_prefix(P256, &[x, y]),
        CanonicalJwk::P384 { x, y } => with_prefix(P384, &[x, y]),
        CanonicalJwk::Ed25519 { x } => with_prefix(ED25519, &[x]),
        CanonicalJwk::Rsa { n, e } => {
            let der: PublicKeyX509Der<'_> =
                RsaPublicKeyComponents { n, e }.as_der().map_err(|_| BadKey::NotAKey)?;
            Ok(der.as_ref().to_vec())
        }
    }
}

impl From<AccountKey> for Jwk {
    fn from(key: AccountKey) -> Self {
        let text = |bytes: &[u8]| Some(base64url::encode(bytes));
        let curve = |name: &str| Some(name.to_owned());
        let (kty, jwk) = match &key.jwk {
            CanonicalJwk::P256 { x, y } => {
                ("EC", Jwk { crv: curve("P-256"), x: text(x), y: text(y), ..Jwk::default() })
            }
            CanonicalJwk::P384 { x, y } => {
                ("EC", Jwk { crv: curve("P-384"), x: text(x), y: text(y), ..Jwk::default() })
            }
            CanonicalJwk::Rsa { n, e } => ("RSA", Jwk { n: text(n), e: text(e), ..Jwk::default() }),
            CanonicalJwk::Ed25519 { x } => {
                ("OKP", Jwk { crv: curve("Ed25519"), x: text(x), ..Jwk::default() })
            }
        };
        Jwk { kty: kty.to_owned(), ..jwk }
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountKey({})", self.thumbprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<AccountKey, BadKey> {
        serde_json::from_str::<OfferedKey>(json).unwrap().check()
    }

    // RFC 7638 §3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    // RFC 8037 appendix A.2.
    const ED: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    // RFC 7517 appendix A.1.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

    #[test]
    fn thumbprints_are_those_of_the_specifications() {
        assert_eq!(parse(RSA).unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(parse(ED).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_survives_storage() {
        for json in [RSA, ED, P256] {
            let key = parse(json).unwrap();
            let stored = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<AccountKey>(&stored).unwrap(), key);
        }
    }

    #[test]
    fn every_kind_of_bad_key_is_named() {
        let refused = |json: &str| parse(json).unwrap_err();
        assert_eq!(refused(r#"{"kty":"oct","k":"AA"}"#), BadKey::Unsupported("oct".to_owned()));
        assert_eq!(
            refused(r#"{"kty":"EC","crv":"P-521"}"#),
            BadKey::Unsupported("EC P-521".to_owned())
        );
        assert_eq!(refused(r#"{"kty":"EC","crv":"P-256","x":"AA"}"#), BadKey::Member("x"));
        assert_eq!(refused(r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#), BadKey::Member("n"));
        assert_eq!(refused(r#"{"kty":"RSA","n":"AQAB"}"#), BadKey::Member("e"));
        let with_private = ED.replace("\"kty\"", "\"d\":\"AA\",\"kty\"");
        assert_eq!(refused(&with_private), BadKey::Private);
        let off_curve = P256.replace("MKBC", "MKBD");
        assert_eq!(refused(&off_curve), BadKey::NotAKey);
        let short =
            format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64url::encode([0xC5; 128]));
        assert!(matches!(refused(&short), BadKey::Weak(_) | BadKey::NotAKey), "{short}");
    }

    #[test]
    fn a_zero_in_front_of_an_rsa_modulus_makes_no_other_key() {
        let plain = parse(RSA).unwrap();
        let modulus = |json: &str| serde_json::from_str::<Jwk>(json).unwrap().n.unwrap();
        let padded = [vec![0], base64url::decode(modulus(RSA)).unwrap()].concat();
        let padded = RSA.replace(&modulus(RSA), &base64url::encode(padded));
        let padded = parse(&padded.replace("AQAB", "AAEAAQ")).unwrap();
        assert_eq!(padded, plain);
        assert_eq!(padded.thumbprint(), plain.thumbprint());
    }

    #[test]
    fn an_rsa_key_that_is_too_large_is_refused_by_its_length() {
        let of_bytes = |bytes: usize| {
            let n = base64url::encode(vec![0xC5; bytes]);
            let json = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
            serde_json::from_str::<OfferedKey>(&json).unwrap()
        };
        let refused = of_bytes(1025).check().unwrap_err();
        assert!(refused.to_string().contains("more than 8192 bits"), "{refused}");
        assert!(of_bytes(1024).is_expensive());
        assert!(of_bytes(513).is_expensive());
        assert!(!of_bytes(512).is_expensive() && !of_bytes(256).is_expensive());
    }
}
