#![no_main]
//! `scripts/fuzz jws`: the bodies of ACME requests, before anybody is known.

use chancery_acme::jws::{SignedRequest, Signer, base64url};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let text = String::from_utf8_lossy(body);
    if let Ok(decoded) = base64url::decode(text.as_bytes()) {
        let again = base64url::encode(&decoded);
        assert_eq!(again, text.trim_end_matches('='), "one text for one value");
    }
    let Ok(request) = SignedRequest::parse(body) else { return };
    if let Signer::Key(key) = request.signer().clone()
        && let Ok(key) = key.check()
    {
        assert_eq!(key.thumbprint().len(), 43, "SHA-256 in base64url");
        // Nobody here can sign.
        assert!(request.verify(&key).is_err());
    }
});
