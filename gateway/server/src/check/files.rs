//! Whether what a gateway writes can be written, and what it reads can be read.

use std::path::{Path, PathBuf};

use chancery_x509::pem;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Findings, Installation};
use crate::config::Config;
use crate::policy_places::{compiled_policies, policy_history};
use crate::store::{LEAST_DISK, RESERVED_DISK, free_space, store_file};

pub(super) fn look(config: &Config, installation: Installation, found: &mut Findings<'_>) {
    let directory = &config.server.directory;
    writable("server.directory", directory, found);
    let inside = [
        store_file(config),
        compiled_policies(config),
        policy_history(config),
        directory.join("root.pem"),
    ];
    for path in inside.iter().filter(|path| path.exists()) {
        writable("server.directory", path, found);
    }
    let log = &config.audit.file;
    if log.exists() {
        writable("audit.file", log, found);
    }
    if let Some(directory) = log.parent() {
        writable("audit.file", directory, found);
    }
    room(directory, installation, found);
    for upstream in &config.upstreams {
        let Some(file) = &upstream.roots else { continue };
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let read =
            read.and_then(|text| pem::certificates(&text).map_err(|error| error.to_string()));
        match read {
            Ok(certificates) if certificates.is_empty() => {
                found.fault("upstreams.roots", format!("{} holds no certificate", file.display()));
            }
            Ok(_) => {}
            Err(error) => found.fault("upstreams.roots", format!("{}: {error}", file.display())),
        }
    }
}

/// What is missing is made, if that can be done where it is to be.
fn writable(setting: &str, path: &Path, found: &mut Findings<'_>) {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.map_or_else(|| PathBuf::from("."), Path::to_owned);
    let tried = if there.is_dir() {
        chancery_files::try_directory(&there)
    } else {
        accessat(CWD, &there, Access::WRITE_OK, AtFlags::EACCESS).map_err(Into::into)
    };
    if let Err(error) = tried {
        let shown = there.display();
        found.fault(setting, format!("{shown} cannot be written by this user: {error}"));
    }
}

fn room(directory: &Path, installation: Installation, found: &mut Findings<'_>) {
    let there = directory.ancestors().find(|path| path.exists());
    let Some(free) = there.and_then(free_space) else { return };
    let needed = if installation == Installation::New { LEAST_DISK } else { RESERVED_DISK };
    if free < needed {
        found.fault(
            "server.directory",
            format!(
                "{} has {} MiB free, and {} are needed: free some space, or give it a larger disk",
                directory.display(),
                free >> 20,
                needed >> 20
            ),
        );
    }
}
