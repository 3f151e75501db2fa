//! Generates private keys in PKCS#8, and random bytes for secret keys.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use zeroize::Zeroizing;

use super::GenerateError;
use crate::KeyType;

/// A fresh private key in unencrypted PKCS#8 DER (RFC 5958), randomness from the operating system.
/// The caller stores it sealed, if at all. RSA takes up to seconds: not for an async worker.
pub fn generate(key_type: KeyType) -> Result<Zeroizing<Vec<u8>>, GenerateError> {
    match key_type {
        KeyType::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyType::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyType::EcdsaP521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyType::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyType::Rsa3072 => rsa(KeySize::Rsa3072),
        KeyType::Rsa4096 => rsa(KeySize::Rsa4096),
        KeyType::Ed25519 => ed25519(),
        KeyType::MlDsa44 => ml_dsa(&ML_DSA_44_SIGNING),
        KeyType::MlDsa65 => ml_dsa(&ML_DSA_65_SIGNING),
        KeyType::MlDsa87 => ml_dsa(&ML_DSA_87_SIGNING),
    }
    .map_err(|Unspecified| GenerateError { key_type })
}

/// This many random bytes, for a secret key; none if the operating system gives no randomness.
pub fn generate_secret(bytes: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(vec![0; bytes]);
    SystemRandom::new().fill(&mut secret).ok()?;
    Some(secret)
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let document = EcdsaKeyPair::generate(algorithm)?.to_pkcs8v1()?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

fn rsa(size: KeySize) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let document: Pkcs8V1Der<'static> = rsa::KeyPair::generate(size)?.as_der()?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

fn ed25519() -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let document = Ed25519KeyPair::generate()?.to_pkcs8v1()?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// As a seed (RFC 9881 §6): 32 bytes, from which the rest follows.
fn ml_dsa(algorithm: &'static PqdsaSigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let document = PqdsaKeyPair::generate(algorithm)?.to_pkcs8v1()?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}
