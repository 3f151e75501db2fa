//! JSON Web Signatures as ACME wants them (RFC 8555, section 6.2), and, for the tests of bad input,
//! as it does not: every part can be replaced before it is signed or after.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Base64url without padding (RFC 7515, section 2).
#[must_use]
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A P-256 key that signs with ES256.
#[derive(Clone, Debug)]
pub struct Key(Arc<EcdsaKeyPair>);

impl Key {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self(Arc::new(pair.expect("a key can be made")))
    }

    /// Takes a key out of PKCS#8, for example the key of a certificate.
    #[must_use]
    pub fn from_pkcs8(der: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
        Self(Arc::new(pair.expect("a P-256 key as PKCS#8")))
    }

    /// The public key as a JSON Web Key, its members in the order of RFC 7638.
    #[must_use]
    pub fn jwk(&self) -> Value {
        // An uncompressed point: 4, then x, then y.
        let point = self.0.public_key().as_ref();
        // A sorted map, so that the text is canonical whatever features serde_json has.
        let members = BTreeMap::from([
            ("crv", "P-256".to_owned()),
            ("kty", "EC".to_owned()),
            ("x", base64url(&point[1..33])),
            ("y", base64url(&point[33..65])),
        ]);
        json!(members)
    }

    /// The thumbprint of the public key (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = serde_json::to_vec(&self.jwk()).expect("JSON can be written");
        base64url(digest::digest(&digest::SHA256, &jwk))
    }

    /// The key authorization of a challenge token (RFC 8555, section 8.1).
    #[must_use]
    pub fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature.expect("the key can sign").as_ref().to_vec()
    }
}

/// A flattened JWS in the making.
#[derive(Clone, Debug)]
pub struct Jws {
    /// The protected header, before it is encoded.
    pub protected: Value,
    /// The payload, before it is encoded. Empty for POST-as-GET.
    pub payload: Vec<u8>,
}

impl Jws {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &Key) -> Value {
        let protected = base64url(self.protected.to_string());
        let payload = base64url(&self.payload);
        let signature = base64url(key.sign(format!("{protected}.{payload}").as_bytes()));
        json!({ "protected": protected, "payload": payload, "signature": signature })
    }
}
