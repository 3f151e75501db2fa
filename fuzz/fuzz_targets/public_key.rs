#![no_main]
//! `scripts/fuzz public_key`: keys, and the search for weak ones.

use chancery_x509::{PublicKey, SignatureAlgorithm};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|spki: &[u8]| {
    if let Ok(key) = PublicKey::from_spki_der(spki) {
        assert_eq!(key.spki_der(), spki);
        let _ = key.check_strength();
        let usual = SignatureAlgorithm::default_for(key.algorithm());
        let _ = key.verify(usual, b"message", spki);
    }
});
