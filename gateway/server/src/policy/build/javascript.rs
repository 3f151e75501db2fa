//! JavaScript, by jco with QuickJS inside: a tenth of the size and of the memory that a browser's engine
//! takes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{announce, is_fresh, tool};
use crate::policy::project::Project;

pub(super) fn build(folder: &Path, project: &Project, component: &Path) -> Result<()> {
    let jco = folder.join("node_modules/.bin/jco");
    // npm writes this file at the end of an installation.
    let installed = folder.join("node_modules/.package-lock.json");
    if !is_fresh(&installed, &folder.join("package.json")) {
        announce("installing what package.json names into node_modules, with npm");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
        tool(&mut npm, "install Node.js 20 or newer with npm")?;
    }
    let mut command = Command::new(jco);
    command
        .current_dir(folder)
        .args(["componentize", "policy.js", "--wit", "wit", "--world-name"])
        .arg(project.decision.world())
        // Its WASI is empty in a gateway, but an exception is printed there, and so gets into the log.
        .args(["--backend", "quickjs", "--backend-qjs-disable-async"])
        .arg("--out")
        .arg(component);
    tool(&mut command, "remove node_modules, so that it is installed again")
}
