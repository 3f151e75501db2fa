//! `chancery policy build`: from a folder to a component, with the tools of its language.

mod javascript;
mod python;
mod rust;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use chancery_policy::Inspection;
use clap::Args;

use super::project::{Language, Project};
use super::{Output, print};

/// `chancery policy build`.
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The folder, as `chancery policy new` makes it.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Where the component goes [default: NAME.wasm in the folder].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Builds the component and looks at it: what is built can be bound.
pub(super) fn run(args: &BuildArgs, output: Output) -> Result<ExitCode> {
    let folder = std::path::absolute(&args.folder)?;
    let project = Project::read(&folder)?;
    let component = match &args.out {
        Some(file) => std::path::absolute(file)?,
        None => folder.join(format!("{}.wasm", project.name)),
    };
    match project.language {
        Language::Rust => rust::build(&folder, &project, &component)?,
        Language::JavaScript => javascript::build(&folder, &project, &component)?,
        Language::Python => python::build(&folder, &project, &component)?,
    }
    let wasm = std::fs::read(&component)
        .with_context(|| format!("cannot read {}", component.display()))?;
    let seen = Inspection::of(&component, &wasm)?;
    ensure!(
        seen.decision == project.decision.word(),
        "{} decides about {}, and policy.toml says `decision = \"{}\"`",
        component.display(),
        seen.decision,
        project.decision.word()
    );
    print(output, &seen, || {
        format!("{}  {}  {} bytes", component.display(), seen.digest, wasm.len())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Announces on standard error a step that takes long, and why; standard output is for the result.
fn announce(text: &str) {
    // If standard error is closed, nobody wants the text.
    let _ = writeln!(std::io::stderr(), "chancery policy build: {text}");
}

/// Runs a tool to its end; its output goes to standard error.
fn tool(command: &mut Command, missing: &str) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{name} has failed ({status}); what it said stands above"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{name} is not installed: {missing}")
        }
        Err(error) => Err(error).with_context(|| format!("cannot run {name}")),
    }
}

/// Whether `made` is there and no older than `from`.
fn is_fresh(made: &Path, from: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    matches!((time(made), time(from)), (Some(made), Some(from)) if made >= from)
}
