#![no_main]
//! `scripts/fuzz certificate`: certificates that strangers present.

use chancery_x509::{Issuer, ParsedCertificate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(certificate) = ParsedCertificate::from_der(der) {
        assert_eq!(certificate.der(), der);
        let _ = certificate.extension("1.3.6.1.5.5.7.1.31");
        let _ = Issuer::from_certificate(&certificate);
        if let Ok(key) = certificate.public_key() {
            let _ = certificate.verify_signed_by(key);
        }
    }
});
