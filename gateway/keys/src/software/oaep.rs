//! Encryption to RSA keys: RSAES-OAEP (RFC 8017 §7.1), and with it whole keys as PKCS#11 wraps them
//! (`CKM_RSA_AES_KEY_WRAP`, PKCS#11 v2.40 §2.1.21): a random AES-256 key under OAEP, then the key under
//! that with AES-KWP (RFC 5649).

use std::str::FromStr;

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use chancery_x509::PublicKey;
use zeroize::Zeroizing;

use super::wrap::AES_KEY_BYTES;

/// The hash in OAEP, for the label and the mask both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OaepHash {
    /// SHA-1: safe here, and the only one that some tokens have.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The text names no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash for OAEP: use SHA1, SHA256, SHA384 or SHA512")]
pub struct UnknownHash(pub String);

/// What is to be encrypted or decrypted is not fit for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OaepError {
    /// Not an RSA key.
    #[error("only RSA keys encrypt and decrypt with OAEP")]
    NoRsaKey,
    /// The plaintext is longer than the key's modulus leaves room for.
    #[error("the plaintext is too long for RSA: at most {limit} bytes with this key and hash")]
    TooLong {
        /// Bytes that fit.
        limit: usize,
    },
    /// It was encrypted to another key, with another hash, or was changed.
    #[error("it does not decrypt: made for another key, with another hash, or changed")]
    Refused,
}

impl FromStr for OaepHash {
    type Err = UnknownHash;

    fn from_str(text: &str) -> Result<Self, UnknownHash> {
        match text.to_ascii_uppercase().replace('-', "").as_str() {
            "SHA1" => Ok(Self::Sha1),
            "SHA256" | "SHA2256" => Ok(Self::Sha256),
            "SHA384" | "SHA2384" => Ok(Self::Sha384),
            "SHA512" | "SHA2512" => Ok(Self::Sha512),
            _ => Err(UnknownHash(text.to_owned())),
        }
    }
}

impl std::fmt::Display for OaepHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        })
    }
}

impl OaepHash {
    fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Self::Sha512 => &OAEP_SHA512_MGF1SHA512,
        }
    }
}

/// Encrypts a short text to a public key.
///
/// # Errors
/// See [`OaepError`].
pub fn encrypt(key: &PublicKey, hash: OaepHash, plaintext: &[u8]) -> Result<Vec<u8>, OaepError> {
    let key = PublicEncryptingKey::from_der(key.spki_der()).map_err(|_| OaepError::NoRsaKey)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| OaepError::NoRsaKey)?;
    let limit = key.max_plaintext_size(hash.algorithm());
    if plaintext.len() > limit {
        return Err(OaepError::TooLong { limit });
    }
    let mut out = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(hash.algorithm(), plaintext, &mut out, None);
    let length = encrypted.map_err(|_| OaepError::NoRsaKey)?.len();
    out.truncate(length);
    Ok(out)
}

/// Wraps a key of any length to a public key, as `CKM_RSA_AES_KEY_WRAP` does.
///
/// # Errors
/// See [`OaepError`].
pub fn wrap_key(key: &PublicKey, hash: OaepHash, secret: &[u8]) -> Result<Vec<u8>, OaepError> {
    let mut between = Zeroizing::new([0; AES_KEY_BYTES]);
    SystemRandom::new().fill(between.as_mut_slice()).map_err(|_| OaepError::Refused)?;
    let mut out = encrypt(key, hash, between.as_slice())?;
    out.extend(wrap_with(between.as_slice(), secret).ok_or(OaepError::Refused)?);
    Ok(out)
}

/// Wraps a key under an AES-256 key (AES-KWP, RFC 5649). None if that has another length.
pub(crate) fn wrap_with(key: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let key = AesKek::new(&AES_256, key).ok()?;
    let mut wrapped = vec![0; secret.len() + 16];
    let length = key.wrap_with_padding(secret, &mut wrapped).ok()?.len();
    wrapped.truncate(length);
    Some(wrapped)
}

/// The private half of an RSA key, for decrypting.
pub(super) struct DecryptingKey(OaepPrivateDecryptingKey);

impl DecryptingKey {
    /// None if it is no RSA key in PKCS#8.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let key = PrivateDecryptingKey::from_pkcs8(der).ok()?;
        OaepPrivateDecryptingKey::new(key).ok().map(Self)
    }

    /// Undoes [`encrypt`].
    pub(super) fn decrypt(
        &self,
        hash: OaepHash,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OaepError> {
        let mut out = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let plaintext = self.0.decrypt(hash.algorithm(), ciphertext, &mut out, None);
        let length = plaintext.map_err(|_| OaepError::Refused)?.len();
        out.truncate(length);
        Ok(out)
    }

    /// Undoes [`wrap_key`].
    pub(super) fn unwrap_key(
        &self,
        hash: OaepHash,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OaepError> {
        let (between, wrapped) =
            wrapped.split_at_checked(self.0.key_size_bytes()).ok_or(OaepError::Refused)?;
        let between = self.decrypt(hash, between)?;
        let kek = AesKek::new(&AES_256, &between).map_err(|_| OaepError::Refused)?;
        let mut out = Zeroizing::new(vec![0; wrapped.len()]);
        let secret = kek.unwrap_with_padding(wrapped, &mut out).map_err(|_| OaepError::Refused)?;
        let length = secret.len();
        out.truncate(length);
        Ok(out)
    }
}
