//! Wraps and unwraps bytes with AES-256-GCM.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::wrapped::{self, NONCE};

/// Length of an AES-256 key in bytes.
pub const AES_KEY_BYTES: usize = 32;

/// An AES-256 key that wraps and unwraps. The library wipes it when it is dropped.
pub(super) struct WrappingKey(LessSafeKey);

impl WrappingKey {
    pub(super) fn new(key: &[u8; AES_KEY_BYTES]) -> Result<Self, Unspecified> {
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?)))
    }

    /// Encrypts under a fresh random nonce, bound to `aad`.
    pub(super) fn wrap(&self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut nonce = [0; NONCE];
        SystemRandom::new().fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + wrapped::TAG);
        sealed.extend_from_slice(plaintext);
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(unique, Aad::from(aad), &mut sealed)?;
        Ok(wrapped::join(&nonce, &sealed))
    }

    /// Undoes [`wrap`](Self::wrap).
    pub(super) fn unwrap(
        &self,
        nonce: &[u8; NONCE],
        sealed: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let mut opened = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(aad), &mut opened)?.len();
        opened.truncate(length);
        Ok(opened)
    }
}

/// Encrypts under a key made for this alone, which is given too. None without randomness.
pub(crate) fn seal(
    plaintext: &[u8],
    aad: &[u8],
) -> Option<(Zeroizing<[u8; AES_KEY_BYTES]>, Vec<u8>)> {
    let mut key = Zeroizing::new([0; AES_KEY_BYTES]);
    SystemRandom::new().fill(key.as_mut_slice()).ok()?;
    let sealed = WrappingKey::new(&key).and_then(|key| key.wrap(plaintext, aad)).ok()?;
    Some((key, sealed))
}

/// Undoes [`seal`]. None if anything differs.
pub(crate) fn open(key: &[u8], sealed: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = wrapped::parts(sealed)?;
    WrappingKey::new(key.try_into().ok()?).ok()?.unwrap(nonce, sealed, aad).ok()
}
