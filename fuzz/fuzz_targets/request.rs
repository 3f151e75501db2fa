#![no_main]
//! `scripts/fuzz request`: certification requests of strangers.

use chancery_x509::CertificateRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(request) = CertificateRequest::from_der(der) {
        assert_eq!(request.der(), der);
        assert!(request.names().iter().all(|name| name.check().is_ok()));
        let _ = request.requested_names();
        let _ = request.public_key().check_strength();
    }
});
