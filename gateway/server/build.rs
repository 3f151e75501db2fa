//! Embeds the plugins that ship with the product, as `plugins/build` left them, so that
//! `chancery dev` needs nothing beside the binary. A build without them works, too (an editor's, a
//! lint's): `chancery dev` then says what is missing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const SHIPPED: [&str; 4] = ["access-rules", "certificate-template", "name-guard", "rate-guard"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let components = manifest.join("../../plugins/target/components");
    let out = Path::new(&std::env::var("OUT_DIR")?).join("plugins.rs");
    let mut code = String::from("&[\n");
    for name in SHIPPED {
        let file = components.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", file.display());
        if file.is_file() {
            let path = file.canonicalize()?.display().to_string();
            writeln!(code, "    ({name:?}, include_bytes!({path:?})),")?;
        }
    }
    code.push_str("]\n");
    std::fs::write(out, code)?;
    Ok(())
}
