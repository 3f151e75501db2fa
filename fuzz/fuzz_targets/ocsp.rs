#![no_main]
//! `scripts/fuzz ocsp`: questions of strangers about the status of certificates.

use chancery_x509::{MOST_CERTIFICATES, OcspRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(request) = OcspRequest::from_der(der) {
        assert!((1..=MOST_CERTIFICATES).contains(&request.certificates.len()));
        for certificate in &request.certificates {
            let again = certificate.to_der().expect("what was read can be written");
            assert!(again.len() <= der.len());
        }
    }
});
