//! Computes and verifies HMACs with SHA-2.

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use chancery_x509::Sha2;
use zeroize::Zeroizing;

/// A key for HMAC.
pub(super) struct MacKey(pub(super) Zeroizing<Vec<u8>>);

impl MacKey {
    pub(super) fn mac(&self, hash: Sha2, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.key(hash), message).as_ref().to_vec()
    }

    /// In constant time.
    pub(super) fn verify(&self, hash: Sha2, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key(hash), message, mac).is_ok()
    }

    fn key(&self, hash: Sha2) -> hmac::Key {
        let algorithm = match hash {
            Sha2::Sha256 => HMAC_SHA256,
            Sha2::Sha384 => HMAC_SHA384,
            Sha2::Sha512 => HMAC_SHA512,
        };
        hmac::Key::new(algorithm, &self.0)
    }
}
