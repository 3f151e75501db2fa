//! The signature algorithms, their DER `AlgorithmIdentifier`s, and the key types that each fits.

use aws_lc_rs::signature::{self, VerificationAlgorithm};
use serde::{Deserialize, Serialize};

use crate::{KeyAlgorithm, Sha2};

/// The algorithms with which certificates and CRLs are signed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256; the signature is a DER `Ecdsa-Sig-Value` (RFC 5758 §3.2).
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384; the signature is a DER `Ecdsa-Sig-Value` (RFC 5758 §3.2).
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512; the signature is a DER `Ecdsa-Sig-Value` (RFC 5758 §3.2).
    EcdsaP521Sha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 4055 §5).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 4055 §5).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 4055 §5).
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 over SHA-256 and a salt of 32 bytes (RFC 4055 §3.1).
    RsaPssSha256,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// ML-DSA-44 without pre-hash, an empty context (FIPS 204, RFC 9881).
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
    /// ML-DSA-65 without pre-hash, an empty context (FIPS 204, RFC 9881).
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
    /// ML-DSA-87 without pre-hash, an empty context (FIPS 204, RFC 9881).
    #[serde(rename = "ml-dsa-87")]
    MlDsa87,
}

impl SignatureAlgorithm {
    /// The DER encoding of the `AlgorithmIdentifier` (RFC 5280 §4.1.1.2).
    pub fn algorithm_identifier(self) -> &'static [u8] {
        match self {
            Self::EcdsaP256Sha256 => identifier::ECDSA_SHA256,
            Self::EcdsaP384Sha384 => identifier::ECDSA_SHA384,
            Self::EcdsaP521Sha512 => identifier::ECDSA_SHA512,
            Self::RsaPkcs1Sha256 => identifier::RSA_SHA256,
            Self::RsaPkcs1Sha384 => identifier::RSA_SHA384,
            Self::RsaPkcs1Sha512 => identifier::RSA_SHA512,
            Self::RsaPssSha256 => identifier::RSA_PSS_SHA256,
            Self::Ed25519 => identifier::ED25519,
            Self::MlDsa44 => identifier::ML_DSA_44,
            Self::MlDsa65 => identifier::ML_DSA_65,
            Self::MlDsa87 => identifier::ML_DSA_87,
        }
    }

    /// The name in policies and the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::EcdsaP521Sha512 => "ecdsa-p521-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Whether keys of this kind make such signatures.
    pub fn fits(self, key: KeyAlgorithm) -> bool {
        match self {
            Self::EcdsaP256Sha256 => key == KeyAlgorithm::EcdsaP256,
            Self::EcdsaP384Sha384 => key == KeyAlgorithm::EcdsaP384,
            Self::EcdsaP521Sha512 => key == KeyAlgorithm::EcdsaP521,
            Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha256 => matches!(key, KeyAlgorithm::Rsa { .. }),
            Self::Ed25519 => key == KeyAlgorithm::Ed25519,
            Self::MlDsa44 => key == KeyAlgorithm::MlDsa44,
            Self::MlDsa65 => key == KeyAlgorithm::MlDsa65,
            Self::MlDsa87 => key == KeyAlgorithm::MlDsa87,
        }
    }

    /// What a key of this kind signs certificates with unless told otherwise.
    pub fn default_for(key: KeyAlgorithm) -> Self {
        match key {
            KeyAlgorithm::EcdsaP256 => Self::EcdsaP256Sha256,
            KeyAlgorithm::EcdsaP384 => Self::EcdsaP384Sha384,
            KeyAlgorithm::EcdsaP521 => Self::EcdsaP521Sha512,
            KeyAlgorithm::Rsa { .. } => Self::RsaPkcs1Sha256,
            KeyAlgorithm::Ed25519 => Self::Ed25519,
            KeyAlgorithm::MlDsa44 => Self::MlDsa44,
            KeyAlgorithm::MlDsa65 => Self::MlDsa65,
            KeyAlgorithm::MlDsa87 => Self::MlDsa87,
        }
    }
}

/// The signature is not one of this key over these bytes, or its algorithm does not fit the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify with the public key")]
pub struct InvalidSignature;

/// How to verify a signature with this DER `AlgorithmIdentifier` by a key of this kind. More than
/// this gateway signs with: clients do sign their requests with a P-384 key and SHA-256, for example.
/// SHA-1 is not among them.
pub(crate) fn verification(
    key: KeyAlgorithm,
    algorithm_identifier: &[u8],
) -> Option<&'static dyn VerificationAlgorithm> {
    use identifier as id;
    let found: &'static dyn VerificationAlgorithm = match key {
        KeyAlgorithm::EcdsaP256 => match algorithm_identifier {
            id::ECDSA_SHA256 => &signature::ECDSA_P256_SHA256_ASN1,
            id::ECDSA_SHA384 => &signature::ECDSA_P256_SHA384_ASN1,
            id::ECDSA_SHA512 => &signature::ECDSA_P256_SHA512_ASN1,
            _ => return None,
        },
        KeyAlgorithm::EcdsaP384 => match algorithm_identifier {
            id::ECDSA_SHA256 => &signature::ECDSA_P384_SHA256_ASN1,
            id::ECDSA_SHA384 => &signature::ECDSA_P384_SHA384_ASN1,
            id::ECDSA_SHA512 => &signature::ECDSA_P384_SHA512_ASN1,
            _ => return None,
        },
        KeyAlgorithm::EcdsaP521 => match algorithm_identifier {
            id::ECDSA_SHA256 => &signature::ECDSA_P521_SHA256_ASN1,
            id::ECDSA_SHA384 => &signature::ECDSA_P521_SHA384_ASN1,
            id::ECDSA_SHA512 => &signature::ECDSA_P521_SHA512_ASN1,
            _ => return None,
        },
        // RFC 4055 §5: a missing parameter field must be accepted like NULL.
        KeyAlgorithm::Rsa { .. } => match algorithm_identifier {
            id::RSA_SHA256 | id::RSA_SHA256_BARE => &signature::RSA_PKCS1_2048_8192_SHA256,
            id::RSA_SHA384 | id::RSA_SHA384_BARE => &signature::RSA_PKCS1_2048_8192_SHA384,
            id::RSA_SHA512 | id::RSA_SHA512_BARE => &signature::RSA_PKCS1_2048_8192_SHA512,
            id::RSA_PSS_SHA256 => &signature::RSA_PSS_2048_8192_SHA256,
            id::RSA_PSS_SHA384 => &signature::RSA_PSS_2048_8192_SHA384,
            id::RSA_PSS_SHA512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        },
        KeyAlgorithm::Ed25519 => match algorithm_identifier {
            id::ED25519 => &signature::ED25519,
            _ => return None,
        },
        KeyAlgorithm::MlDsa44 if algorithm_identifier == id::ML_DSA_44 => &signature::ML_DSA_44,
        KeyAlgorithm::MlDsa65 if algorithm_identifier == id::ML_DSA_65 => &signature::ML_DSA_65,
        KeyAlgorithm::MlDsa87 if algorithm_identifier == id::ML_DSA_87 => &signature::ML_DSA_87,
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => return None,
    };
    Some(found)
}

/// The DER `AlgorithmIdentifier` of ECDSA, or RSASSA-PKCS1-v1_5, with this hash; none for keys that have a
/// hash of their own.
pub(crate) fn hashed(key: KeyAlgorithm, hash: Sha2) -> Option<&'static [u8]> {
    use identifier as id;
    match key {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
            Some(match hash {
                Sha2::Sha256 => id::ECDSA_SHA256,
                Sha2::Sha384 => id::ECDSA_SHA384,
                Sha2::Sha512 => id::ECDSA_SHA512,
            })
        }
        KeyAlgorithm::Rsa { .. } => Some(match hash {
            Sha2::Sha256 => id::RSA_SHA256,
            Sha2::Sha384 => id::RSA_SHA384,
            Sha2::Sha512 => id::RSA_SHA512,
        }),
        KeyAlgorithm::Ed25519
        | KeyAlgorithm::MlDsa44
        | KeyAlgorithm::MlDsa65
        | KeyAlgorithm::MlDsa87 => None,
    }
}

/// DER encodings of `AlgorithmIdentifier`s. Fixed bytes rather than an encoder, because RFC 4055,
/// RFC 5758 and RFC 9881 §2 leave exactly one right spelling for each.
mod identifier {
    pub(super) const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    pub(super) const ECDSA_SHA384: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
    pub(super) const ECDSA_SHA512: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";
    pub(super) const RSA_SHA256: &[u8] =
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
    pub(super) const RSA_SHA384: &[u8] =
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00";
    pub(super) const RSA_SHA512: &[u8] =
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00";
    pub(super) const RSA_SHA256_BARE: &[u8] =
        b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
    pub(super) const RSA_SHA384_BARE: &[u8] =
        b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c";
    pub(super) const RSA_SHA512_BARE: &[u8] =
        b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d";
    pub(super) const RSA_PSS_SHA256: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\
        \x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa1\x1c\
        \x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\
        \x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20";
    pub(super) const RSA_PSS_SHA384: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\
        \x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa1\x1c\
        \x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\
        \x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30";
    pub(super) const RSA_PSS_SHA512: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\
        \x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa1\x1c\
        \x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\
        \x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40";
    pub(super) const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
    pub(super) const ML_DSA_44: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11";
    pub(super) const ML_DSA_65: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";
    pub(super) const ML_DSA_87: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13";
}
