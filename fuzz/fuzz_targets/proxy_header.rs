#![no_main]
//! `scripts/fuzz proxy_header`: what comes first on a connection from a load balancer.

use chancery_identity::proxy_protocol::{LONGEST_REST, Prefix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((prefix, rest)) = bytes.split_first_chunk() else { return };
    let Ok(prefix) = Prefix::parse(prefix) else { return };
    assert!(prefix.rest() <= LONGEST_REST);
    if let Ok(Some(source)) = prefix.source(rest) {
        assert_eq!(source.ip(), source.ip().to_canonical());
        assert!(rest.len() >= if source.is_ipv4() { 12 } else { 36 });
    }
});
