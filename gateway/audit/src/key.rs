//! The audit key, and the keys derived from it for MACs, hashed values and checkpoints.

use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

/// The secret behind an audit log. Keys for its uses are derived from it, so that no use says anything
/// about another: MACs of lines and of the head, names of values, and the key that signs checkpoints.
pub struct AuditKey {
    line: hmac::Key,
    head: hmac::Key,
    value: hmac::Key,
    checkpoint: Ed25519KeyPair,
}

/// The audit key is shorter than 32 bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the audit key has {0} bytes; give it at least 32 random ones")]
pub struct WeakKey(pub usize);

impl AuditKey {
    /// Derives the working keys from at least 32 random bytes.
    ///
    /// # Errors
    /// [`WeakKey`] if there are fewer.
    pub fn new(secret: &Zeroizing<Vec<u8>>) -> Result<Self, WeakKey> {
        if secret.len() < 32 {
            return Err(WeakKey(secret.len()));
        }
        let secret_key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |label: &str| hmac::sign(&secret_key, label.as_bytes());
        let mac = |label: &str| hmac::Key::new(hmac::HMAC_SHA256, derive(label).as_ref());
        let seed = Zeroizing::new(derive("chancery audit checkpoint 1").as_ref().to_vec());
        // A seed of Ed25519 has 32 bytes (RFC 8032 §5.1.5), as SHA-256 has, and each is one.
        let checkpoint =
            Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| WeakKey(seed.len()))?;
        Ok(Self {
            line: mac("chancery audit line 1"),
            head: mac("chancery audit head 1"),
            value: mac("chancery audit value 1"),
            checkpoint,
        })
    }

    /// A name for a value that may not be written down: equal values get equal names, and without
    /// the key nobody can try values until one fits. `hmac-sha256:` and 64 hex digits.
    pub fn hash_value(&self, value: &[u8]) -> String {
        format!("hmac-sha256:{}", hex::encode(hmac::sign(&self.value, value)))
    }

    /// The key pair that signs checkpoints.
    pub(crate) fn checkpoint(&self) -> &Ed25519KeyPair {
        &self.checkpoint
    }

    pub(crate) fn mac_line(&self, hash: &str) -> String {
        hex::encode(hmac::sign(&self.line, hash.as_bytes()))
    }

    pub(crate) fn made_line(&self, hash: &str, mac: &str) -> bool {
        equal(&self.mac_line(hash), mac)
    }

    pub(crate) fn mac_head(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.head, text.as_bytes()))
    }

    pub(crate) fn made_head(&self, text: &str, mac: &str) -> bool {
        equal(&self.mac_head(text), mac)
    }
}

fn equal(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> AuditKey {
        AuditKey::new(&Zeroizing::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn hashes_depend_on_the_key_and_on_the_use() {
        assert_eq!(key(1).hash_value(b"x"), key(1).hash_value(b"x"));
        assert_ne!(key(1).hash_value(b"x"), key(2).hash_value(b"x"));
        assert_ne!(key(1).hash_value(b"x"), key(1).hash_value(b"y"));
        assert_ne!(key(1).hash_value(b"x"), format!("hmac-sha256:{}", key(1).mac_head("x")));
        assert_ne!(key(1).mac_line("x"), key(1).mac_head("x"));
        assert!(key(1).made_line("x", &key(1).mac_line("x")));
        assert!(!key(2).made_line("x", &key(1).mac_line("x")));
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_shown() {
        let short = AuditKey::new(&Zeroizing::new(vec![7; 31]));
        assert_eq!(short.unwrap_err(), WeakKey(31));
        assert_eq!(format!("{:?}", key(7)), "AuditKey(redacted)");
    }
}
