#![no_main]
//! `scripts/fuzz secret`: paths, folders and values of secrets as services send them.

use chancery_secrets::kv::{Folder, SecretData, SecretPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, value) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(parsed) = SecretPath::parse(path) {
        // What rules are written for is what was asked for.
        assert_eq!(parsed.to_string(), path);
        assert!(!path.split('/').any(|part| part.is_empty() || part == "." || part == ".."));
    }
    let _ = Folder::parse(path);
    if let Ok(data) = SecretData::from_json(value) {
        let merged = data.merged(&data).expect("changed by itself");
        assert!(SecretData::from_json(merged.as_json()).is_ok());
    }
});
