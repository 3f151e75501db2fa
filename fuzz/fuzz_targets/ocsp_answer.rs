#![no_main]
//! `scripts/fuzz ocsp_answer`: answers of client CAs' OCSP responders, as an attacker on the way to them may
//! change them. Nothing is believed: no input has a signature of the CA's.

use std::sync::OnceLock;
use std::time::Duration;

use chancery_x509::{OcspQuestion, ParsedCertificate, Serial};
use libfuzzer_sys::fuzz_target;

static CA: OnceLock<ParsedCertificate> = OnceLock::new();

fuzz_target!(|der: &[u8]| {
    let ca = CA.get_or_init(|| {
        ParsedCertificate::from_pem(include_str!("ca.pem")).expect("a certificate")
    });
    let serial = Serial::from_be_bytes(&[10]).expect("a serial number");
    let question = OcspQuestion::new(ca, serial, vec![7; 32]).expect("the key is supported");
    let now = ca.not_before();
    let (leeway, otherwise) = (Duration::from_secs(300), Duration::from_secs(86_400));
    assert!(question.read(der, now, leeway, otherwise).is_err());
});
