use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

/// The secret behind an audit log: it seals the head and keys the hashes of values. Two keys are
/// derived from it, so that neither use says anything about the other.
pub struct AuditKey {
    head: hmac::Key,
    value: hmac::Key,
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
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |label: &str| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, label.as_bytes()).as_ref())
        };
        Ok(Self { head: derive("chancery audit head 1"), value: derive("chancery audit value 1") })
    }

    /// A name for a value that may not be written down: equal values get equal names, and without
    /// the key nobody can try values until one fits. `hmac-sha256:` and 64 hex digits.
    pub fn hash_value(&self, value: &[u8]) -> String {
        format!("hmac-sha256:{}", hex::encode(hmac::sign(&self.value, value)))
    }

    pub(crate) fn mac_head(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.head, text.as_bytes()))
    }

    pub(crate) fn made_head(&self, text: &str, mac: &str) -> bool {
        constant_time::verify_slices_are_equal(self.mac_head(text).as_bytes(), mac.as_bytes())
            .is_ok()
    }
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
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_shown() {
        let short = AuditKey::new(&Zeroizing::new(vec![7; 31]));
        assert_eq!(short.unwrap_err(), WeakKey(31));
        assert_eq!(format!("{:?}", key(7)), "AuditKey(redacted)");
    }
}
