//! Signatures in OpenSSH's encoding, and the algorithm for each kind of CA key.

use chancery_x509::{KeyAlgorithm, SignatureAlgorithm, ecdsa};

use crate::wire::{put_mpint, put_string};

/// The signature cannot stand in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signer gave something that is no signature of its algorithm")]
pub struct InvalidSignature;

/// With what a CA's key signs certificates of OpenSSH; RSA with SHA-512 (RFC 8332 §3), since SHA-1 is
/// accepted no more.
pub fn algorithm_for(key: KeyAlgorithm) -> SignatureAlgorithm {
    match key {
        KeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha512,
        other => SignatureAlgorithm::default_for(other),
    }
}

/// A signature as OpenSSH writes it: RFC 5656 §3.1.2, RFC 8332 §3, RFC 8709 §6.
pub(crate) fn encode(
    algorithm: SignatureAlgorithm,
    signature: &[u8],
) -> Result<Vec<u8>, InvalidSignature> {
    let ecdsa = || {
        let (r, s) = ecdsa::numbers(signature).ok_or(InvalidSignature)?;
        let mut numbers = Vec::new();
        put_mpint(&mut numbers, r);
        put_mpint(&mut numbers, s);
        Ok(numbers)
    };
    let (name, blob) = match algorithm {
        SignatureAlgorithm::Ed25519 => ("ssh-ed25519", signature.to_vec()),
        SignatureAlgorithm::EcdsaP256Sha256 => ("ecdsa-sha2-nistp256", ecdsa()?),
        SignatureAlgorithm::EcdsaP384Sha384 => ("ecdsa-sha2-nistp384", ecdsa()?),
        SignatureAlgorithm::EcdsaP521Sha512 => ("ecdsa-sha2-nistp521", ecdsa()?),
        SignatureAlgorithm::RsaPkcs1Sha256 => ("rsa-sha2-256", signature.to_vec()),
        SignatureAlgorithm::RsaPkcs1Sha512 => ("rsa-sha2-512", signature.to_vec()),
        SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPssSha256
        | SignatureAlgorithm::MlDsa44
        | SignatureAlgorithm::MlDsa65
        | SignatureAlgorithm::MlDsa87 => {
            return Err(InvalidSignature);
        }
    };
    let mut whole = Vec::new();
    put_string(&mut whole, name.as_bytes());
    put_string(&mut whole, &blob);
    Ok(whole)
}
