//! Python, by componentize-py: the whole interpreter comes along.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{announce, is_fresh, tool};
use crate::files::{self, Readers};
use crate::policy::project::Project;

pub(super) fn build(folder: &Path, project: &Project, component: &Path) -> Result<()> {
    let environment = folder.join(".venv");
    let done = environment.join(".installed");
    let requirements = folder.join("requirements.txt");
    if !is_fresh(&done, &requirements) {
        announce("installing what requirements.txt names into .venv, with pip");
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(&environment);
        tool(&mut python, "install Python 3.10 or newer with its venv module")?;
        let mut pip = Command::new(environment.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements);
        tool(&mut pip, "install Python's venv module with pip")?;
        files::replace(&done, b"", Readers::Everybody)?;
    }
    let mut command = Command::new(environment.join("bin/componentize-py"));
    command
        .current_dir(folder)
        .args(["--wit-path", "wit", "--world"])
        .arg(project.decision.world())
        // Its WASI is empty in a gateway, but an exception is printed there, and so gets into the log.
        .args(["componentize", "policy", "--output"])
        .arg(component);
    tool(&mut command, "name componentize-py in requirements.txt")
}
