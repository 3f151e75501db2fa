//! Signatures over components, which tell whose hand a policy comes from.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_identity::TenantId;
use serde::{Deserialize, Serialize};

use crate::binding::Digest;

/// What is signed of a component begins with this, so that no other signature by the same key can be taken for one.
const COMPONENT: &str = "chancery policy signature, version 1\n";

/// The signature over a component, as its file has it: JSON beside the component, `NAME.wasm.sig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySignature {
    /// Digest of the component, `sha256:` and 64 hex digits.
    pub digest: String,
    /// `ecdsa-p256`, `ecdsa-p384`, `rsa` (PKCS #1 v1.5 with SHA-256) or `ed25519`.
    pub algorithm: String,
    /// SHA-256 of the signer's SubjectPublicKeyInfo, 64 hex digits.
    pub key: String,
    /// The signature in base64.
    pub signature: String,
}

/// A signature by one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySignature {
    /// As [`PolicySignature::algorithm`].
    pub algorithm: String,
    /// SHA-256 of the signer's SubjectPublicKeyInfo, 64 hex digits.
    pub key: String,
    /// The signature in base64.
    pub signature: String,
}

/// A public key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerKey {
    /// Its SubjectPublicKeyInfo, in DER.
    pub spki: Vec<u8>,
}

/// The keys that tenants accept signatures of. A tenant that is not here takes unsigned policies.
pub type Signers = BTreeMap<TenantId, Vec<SignerKey>>;

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    /// The file cannot be read or is none.
    #[error("the signature cannot be read: {0}")]
    File(String),
    /// It is over something else.
    #[error("the signature is over {0}")]
    OtherDigest(String),
    /// It is of a version that this release does not know.
    #[error("the signature has version {0}, which this release does not know")]
    Version(u32),
    /// It is by a key that is not accepted.
    #[error("the signature is by the key {0}, which is none of the accepted ones")]
    UnknownKey(String),
    /// It does not verify.
    #[error("the signature does not verify with the key {0}")]
    Wrong(String),
}

impl PolicySignature {
    /// The bytes that are signed for a component.
    pub fn message(digest: &Digest) -> Vec<u8> {
        format!("{COMPONENT}{digest}").into_bytes()
    }

    /// A signature that was made over [`message`](Self::message) with the key behind `signer`.
    pub fn new(digest: &Digest, algorithm: &str, signer: &SignerKey, signature: &[u8]) -> Self {
        Self {
            digest: digest.to_string(),
            algorithm: algorithm.to_owned(),
            key: signer.id(),
            signature: STANDARD.encode(signature),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`InvalidSignature::File`].
    pub fn read(file: &Path) -> Result<Self, InvalidSignature> {
        let wrong = |error: String| InvalidSignature::File(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        Self::parse(file, &text)
    }

    /// The signature in the text of a file, which is named for messages.
    ///
    /// # Errors
    /// [`InvalidSignature::File`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, InvalidSignature> {
        serde_json::from_str(text)
            .map_err(|error| InvalidSignature::File(format!("{}: {error}", file.display())))
    }

    /// Checks that this is over the component and by one of the keys.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn verify(&self, digest: &Digest, keys: &[SignerKey]) -> Result<(), InvalidSignature> {
        if self.digest != digest.to_string() {
            return Err(InvalidSignature::OtherDigest(self.digest.clone()));
        }
        let one = KeySignature {
            algorithm: self.algorithm.clone(),
            key: self.key.clone(),
            signature: self.signature.clone(),
        };
        one.verify(&Self::message(digest), keys)
    }
}

impl KeySignature {
    /// One that was made with the key behind `signer`.
    pub fn new(algorithm: &str, signer: &SignerKey, signature: &[u8]) -> Self {
        Self {
            algorithm: algorithm.to_owned(),
            key: signer.id(),
            signature: STANDARD.encode(signature),
        }
    }

    pub(crate) fn verify(
        &self,
        message: &[u8],
        keys: &[SignerKey],
    ) -> Result<(), InvalidSignature> {
        let key = keys.iter().find(|key| key.id() == self.key);
        let key = key.ok_or_else(|| InvalidSignature::UnknownKey(self.key.clone()))?;
        let wrong = || InvalidSignature::Wrong(self.key.clone());
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm.as_str() {
            "ecdsa-p256" => &ECDSA_P256_SHA256_ASN1,
            "ecdsa-p384" => &ECDSA_P384_SHA384_ASN1,
            "rsa" => &RSA_PKCS1_2048_8192_SHA256,
            "ed25519" => &ED25519,
            _ => return Err(wrong()),
        };
        let signature = STANDARD.decode(&self.signature).map_err(|_| wrong())?;
        UnparsedPublicKey::new(algorithm, &key.spki)
            .verify(message, &signature)
            .map_err(|_| wrong())
    }
}

impl SignerKey {
    /// SHA-256 of the key, 64 hex digits.
    pub fn id(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.spki);
        hex::encode(digest)
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    };

    use super::*;

    fn ecdsa() -> (EcdsaKeyPair, SignerKey) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = SignerKey { spki: spki.as_ref().to_vec() };
        (pair, key)
    }

    fn signed(pair: &EcdsaKeyPair, key: &SignerKey, digest: &Digest) -> PolicySignature {
        let message = PolicySignature::message(digest);
        let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
        PolicySignature::new(digest, "ecdsa-p256", key, signature.as_ref())
    }

    #[test]
    fn counts_for_its_component_and_key_only() {
        let (pair, key) = ecdsa();
        let (_, other) = ecdsa();
        let digest = Digest::of(b"component");
        let good = signed(&pair, &key, &digest);
        assert_eq!(good.verify(&digest, &[other.clone(), key.clone()]), Ok(()));
        assert!(matches!(
            good.verify(&digest, slice::from_ref(&other)),
            Err(InvalidSignature::UnknownKey(_))
        ));
        let elsewhere = good.verify(&Digest::of(b"other"), slice::from_ref(&key));
        assert!(matches!(elsewhere, Err(InvalidSignature::OtherDigest(_))));
        // Under another key's name, over another digest, in another algorithm, cut short.
        let forged = PolicySignature { key: other.id(), ..good.clone() };
        assert!(matches!(forged.verify(&digest, &[other]), Err(InvalidSignature::Wrong(_))));
        let moved = signed(&pair, &key, &Digest::of(b"other"));
        let moved = PolicySignature { digest: digest.to_string(), ..moved };
        for wrong in [
            moved,
            PolicySignature { algorithm: "ed25519".to_owned(), ..good.clone() },
            PolicySignature { algorithm: "none".to_owned(), ..good.clone() },
            PolicySignature { signature: String::new(), ..good.clone() },
            PolicySignature { signature: "?".to_owned(), ..good.clone() },
        ] {
            assert!(matches!(
                wrong.verify(&digest, slice::from_ref(&key)),
                Err(InvalidSignature::Wrong(_))
            ));
        }
    }

    #[test]
    fn takes_ed25519_keys_in_their_usual_form() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = SignerKey { spki: spki.as_ref().to_vec() };
        let digest = Digest::of(b"component");
        let signature = pair.sign(&PolicySignature::message(&digest));
        let signature = PolicySignature::new(&digest, "ed25519", &key, signature.as_ref());
        assert_eq!(signature.verify(&digest, &[key]), Ok(()));
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let error = PolicySignature::read(Path::new("/no/such.sig")).unwrap_err();
        assert!(error.to_string().contains("/no/such.sig"), "{error}");
    }
}
