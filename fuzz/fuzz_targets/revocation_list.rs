#![no_main]
//! `scripts/fuzz revocation_list`: CRLs of client CAs, as an attacker on the way to them may change
//! them.

use chancery_x509::UnverifiedList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    if let Ok(list) = UnverifiedList::from_der(der.to_vec()) {
        assert_eq!(list.der(), der);
        assert!(list.issuer_der().len() < der.len());
    }
});
