//! Rust, by Cargo with whichever toolchain has WebAssembly's target.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use super::tool;
use crate::files::{self, Readers};
use crate::policy::project::Project;

const TARGET: &str = "wasm32-unknown-unknown";
/// Forces Debian's toolchain although rustup has the target.
const TOOLCHAIN: &str = "CHANCERY_PLUGIN_TOOLCHAIN";
const MISSING: &str = "install Rust 1.95 or newer (https://rustup.rs) with \
                       `rustup target add wasm32-unknown-unknown`, or on Debian \
                       `apt install rustc-web cargo-web rust-web-src lld-22`";

pub(super) fn build(folder: &Path, project: &Project, component: &Path) -> Result<()> {
    let target_folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from);
    let mut cargo = match toolchain()? {
        Toolchain::Rustup => Command::new("cargo"),
        Toolchain::Debian { linker } => {
            let mut cargo = Command::new("/usr/bin/cargo");
            // An override by rustup's environment would mix two toolchains. `-Zbuild-std` is not
            // stable; Debian ships the target's standard library as source.
            cargo
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("RUSTC_WRAPPER")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", "/usr/bin/rustc")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            cargo
        }
    };
    cargo.args(["build", "--release", "--target", TARGET]);
    if cargo.get_program() == "/usr/bin/cargo" {
        cargo.arg("-Zbuild-std=std,panic_abort");
    }
    cargo
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(folder))
        .arg("--target-dir")
        .arg(&target_folder);
    tool(&mut cargo, MISSING)?;
    let module = format!("{TARGET}/release/{}.wasm", project.name.replace('-', "_"));
    let module = target_folder.join(module);
    let core =
        std::fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| anyhow::anyhow!("{} is not a policy: {error:#}", module.display()))?;
    files::replace(component, &encoded, Readers::Everybody)
}

/// 16 KiB of stack leave room for data and heap in the first page of memory. The paths are taken out so
/// that the digest does not depend on where the policy was built.
fn flags(folder: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.unwrap_or_else(|| PathBuf::from("/.cargo"));
    [
        "-Clink-arg=-zstack-size=16384".to_owned(),
        format!("--remap-path-prefix={}=policy", folder.display()),
        format!("--remap-path-prefix={}=cargo", home.display()),
    ]
    .join("\u{1f}")
}

enum Toolchain {
    Rustup,
    Debian { linker: PathBuf },
}

fn toolchain() -> Result<Toolchain> {
    let forced = std::env::var_os(TOOLCHAIN).is_some_and(|wanted| wanted == "debian");
    if !forced && rustup_has_target() {
        return Ok(Toolchain::Rustup);
    }
    let library = Command::new("/usr/bin/rustc").args(["--print", "sysroot"]).output().ok();
    let library = library.and_then(|said| String::from_utf8(said.stdout).ok());
    let sources = library.map(|root| Path::new(root.trim()).join("lib/rustlib/src/rust/library"));
    let linker = (22..40)
        .map(|version| PathBuf::from(format!("/usr/bin/wasm-ld-{version}")))
        .find(|linker| linker.exists());
    match (sources, linker) {
        (Some(sources), Some(linker))
            if sources.is_dir() && Path::new("/usr/bin/cargo").exists() =>
        {
            Ok(Toolchain::Debian { linker })
        }
        _ => bail!(
            "policies in Rust are compiled to WebAssembly, and no toolchain here can: {MISSING}"
        ),
    }
}

fn rustup_has_target() -> bool {
    let said =
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(said) = said else { return false };
    let folder = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}
