//! Policies that are compiled once for the gateways of all tests.
//!
//! Each test starts a gateway with an empty state, and an unoptimised compiler takes seconds for the same few
//! policies each time. So the first gateway leaves its cache of compiled policies to those that come after.
//! The gateway itself knows nothing of this: it finds a cache as it does after a restart.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::binary;
use crate::process;

/// Where a gateway keeps them, below its state.
const CACHE: &str = "compiled-policies";

/// Gives a gateway that has no state yet what an earlier one has compiled.
pub(super) fn lend(state: &Path) {
    let shared = shared();
    if state.exists() || !shared.is_dir() {
        return;
    }
    let cache = state.join(CACHE);
    private(&cache).and_then(|()| copy(&shared, &cache)).expect("compiled policies can be copied");
}

/// Keeps what this gateway has compiled for those that come after, unless something is kept already.
pub(super) fn keep(state: &Path) {
    let shared = shared();
    let cache = state.join(CACHE);
    if shared.exists() || !cache.is_dir() {
        return;
    }
    let beside = shared.with_extension(std::process::id().to_string());
    private(&beside).and_then(|()| copy(&cache, &beside)).expect("compiled policies can be copied");
    // Another test may have been first.
    if fs::rename(&beside, &shared).is_err() {
        fs::remove_dir_all(&beside).expect("the copy can be removed");
    }
}

/// One folder for each build of the gateway: a new one may compile differently.
fn shared() -> PathBuf {
    let program = binary();
    let found = fs::metadata(&program).expect("the binary can be examined");
    let mut build = DefaultHasher::new();
    (&program, found.len(), found.modified().ok()).hash(&mut build);
    process::repository().join(format!("target/tests/{CACHE}-{:016x}", build.finish()))
}

/// Makes a folder that only this user can enter, as the gateway demands it.
fn private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}

/// The key of the cache and the compiled policies; not which versions were in force, which is the state's own.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let compiled = path.extension().is_some_and(|extension| extension == "cwasm");
        let name = path.file_name().unwrap_or_default();
        if compiled || name == "key" {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
