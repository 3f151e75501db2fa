#![no_main]
//! `scripts/fuzz ssh_key`: keys that clients want certified for SSH.

use chancery_ssh::SshPublicKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Ok(key) = SshPublicKey::parse(line) {
        let again = SshPublicKey::parse(&key.line()).expect("what was read can be written");
        assert_eq!(again, key);
        let _ = key.key().check_strength();
    }
});
