//! The parser of Cedar recurses deeper than the stack that is enough for other policies.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|target| target == "wasm32") {
        println!("cargo:rustc-cdylib-link-arg=-zstack-size=1048576");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
