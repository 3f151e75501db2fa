#![no_main]
//! `scripts/fuzz component`: components of policies, as authors and registries hand them in.

use std::path::Path;

use chancery_policy::Inspection;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|wasm: &[u8]| {
    let _ = Inspection::of(Path::new("fuzzed.wasm"), wasm);
});
