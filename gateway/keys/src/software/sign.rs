//! Signs with private keys in memory.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING,
    PqdsaKeyPair, PqdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding,
};
use chancery_x509::SignatureAlgorithm;

/// A private key in this process's memory. The library wipes it when it is dropped.
pub(super) enum PrivateKey {
    EcdsaP256(EcdsaKeyPair),
    EcdsaP384(EcdsaKeyPair),
    EcdsaP521(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

/// What [`PrivateKey::sign`] did not do.
pub(super) enum Refusal {
    /// The algorithm is not one of this key's.
    Unsupported,
    /// The library failed.
    Failed,
}

impl PrivateKey {
    /// Reads unencrypted PKCS#8; none if it is malformed or of another type.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map(Self::EcdsaP256)
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, der).map(Self::EcdsaP384)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_ASN1_SIGNING, der).map(Self::EcdsaP521)
            })
            .or_else(|_| Ed25519KeyPair::from_pkcs8(der).map(Self::Ed25519))
            .or_else(|_| rsa::KeyPair::from_pkcs8(der).map(Self::Rsa))
            .ok()
            .or_else(|| {
                let mut sizes =
                    [&ML_DSA_44_SIGNING, &ML_DSA_65_SIGNING, &ML_DSA_87_SIGNING].into_iter();
                let pair = sizes.find_map(|size| PqdsaKeyPair::from_pkcs8(size, der).ok())?;
                Some(Self::MlDsa(pair))
            })
    }

    /// The public half as a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
    pub(super) fn public_spki(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'static> = match self {
            Self::EcdsaP256(pair) | Self::EcdsaP384(pair) | Self::EcdsaP521(pair) => {
                pair.public_key().as_der()?
            }
            Self::Rsa(pair) => pair.public_key().as_der()?,
            Self::Ed25519(pair) => pair.public_key().as_der()?,
            Self::MlDsa(pair) => pair.public_key().as_der()?,
        };
        Ok(der.as_ref().to_vec())
    }

    /// Signs on this thread.
    pub(super) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        match (self, algorithm) {
            (Self::EcdsaP256(pair), SignatureAlgorithm::EcdsaP256Sha256)
            | (Self::EcdsaP384(pair), SignatureAlgorithm::EcdsaP384Sha384)
            | (Self::EcdsaP521(pair), SignatureAlgorithm::EcdsaP521Sha512) => {
                Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec())
            }
            (Self::Ed25519(pair), SignatureAlgorithm::Ed25519) => {
                Ok(pair.try_sign(message)?.as_ref().to_vec())
            }
            (Self::Rsa(pair), algorithm) => {
                let padding = rsa_padding(algorithm).ok_or(Refusal::Unsupported)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            (Self::MlDsa(pair), algorithm) => {
                if ml_dsa_size(algorithm) != Some(pair.algorithm()) {
                    return Err(Refusal::Unsupported);
                }
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature)?;
                Ok(signature)
            }
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Whether a signature takes longer than an async thread should be kept: RSA from a third of a
    /// millisecond to several, P-521 half a millisecond; ML-DSA is tried until a signature fits (FIPS 204
    /// §6.2), which now and then takes several.
    pub(super) fn is_slow(&self) -> bool {
        match self {
            Self::EcdsaP256(_) | Self::EcdsaP384(_) | Self::Ed25519(_) => false,
            Self::EcdsaP521(_) | Self::Rsa(_) | Self::MlDsa(_) => true,
        }
    }
}

impl From<Unspecified> for Refusal {
    fn from(_: Unspecified) -> Self {
        Self::Failed
    }
}

fn ml_dsa_size(algorithm: SignatureAlgorithm) -> Option<&'static PqdsaSigningAlgorithm> {
    Some(match algorithm {
        SignatureAlgorithm::MlDsa44 => &ML_DSA_44_SIGNING,
        SignatureAlgorithm::MlDsa65 => &ML_DSA_65_SIGNING,
        SignatureAlgorithm::MlDsa87 => &ML_DSA_87_SIGNING,
        _ => return None,
    })
}

fn rsa_padding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => &RSA_PKCS1_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &RSA_PKCS1_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &RSA_PKCS1_SHA512,
        SignatureAlgorithm::RsaPssSha256 => &RSA_PSS_SHA256,
        _ => return None,
    })
}
