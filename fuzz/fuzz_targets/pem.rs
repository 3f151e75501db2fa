#![no_main]
//! `scripts/fuzz pem`: text around certificates.

use chancery_x509::pem;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(found) = pem::certificates(text) {
        assert_eq!(pem::certificates(&pem::encode_chain(&found)), Ok(found));
    }
});
