//! The policies that `chancery dev` starts with: the shipped plugins, embedded in the binary, and
//! bindings that pin them by digest.

use std::path::Path;

use anyhow::{Result, ensure};
use chancery_files::Trusted;
use chancery_policy::Digest;

use crate::files::{self, Readers};

/// Name and bytes of each shipped plugin.
const PLUGINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// The binding documents; `@NAME@` stands for the digest of the plugin NAME.
const BINDINGS: [(&str, &str); 2] = [
    ("access.toml", include_str!("../../../../policies/dev/access.toml")),
    ("certificates.toml", include_str!("../../../../policies/dev/certificates.toml")),
];

/// Fills the directory unless there is a binding in it already: it may have been edited, and its
/// plugins are pinned as they are.
pub(super) fn write_defaults(directory: &Path, trusted: &Trusted) -> Result<()> {
    if BINDINGS.iter().any(|(file, _)| directory.join(file).exists()) {
        return Ok(());
    }
    let plugins = directory.join("plugins");
    trusted.no_link(directory)?;
    trusted.make_directory(directory)?;
    trusted.no_link(&plugins)?;
    trusted.make_directory(&plugins)?;
    for (name, bytes) in PLUGINS {
        files::replace(&plugins.join(format!("{name}.wasm")), bytes, Readers::Everybody)?;
    }
    for (file, text) in BINDINGS {
        let pinned = PLUGINS.iter().fold(text.to_owned(), |text, (name, bytes)| {
            text.replace(&format!("\"@{name}@\""), &format!("\"{}\"", Digest::of(bytes)))
        });
        ensure!(
            !pinned.contains("\"@"),
            "this program was built without the default plugins: run `make plugins`, then build it \
             again"
        );
        files::replace(&directory.join(file), pinned.as_bytes(), Readers::Everybody)?;
    }
    Ok(())
}
