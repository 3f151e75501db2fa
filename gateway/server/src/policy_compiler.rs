//! The process in which a gateway compiles one component: this program again, with one argument.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chancery_policy::{Compiler, compile_ordered};

/// The argument.
pub(crate) const COMMAND: &str = "compile-policy";

/// The file that this process runs, which is there even after an update has put another one in its place: the
/// code of another build would not fit.
#[cfg(target_os = "linux")]
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How a gateway compiles.
pub(crate) fn compiler() -> Compiler {
    #[cfg(target_os = "linux")]
    let program = PathBuf::from(THIS_PROGRAM);
    #[cfg(not(target_os = "linux"))]
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("chancery"));
    Compiler::Process(program, COMMAND)
}

/// Compiles what it is given on standard input.
pub(crate) fn run() -> Result<ExitCode> {
    compile_ordered(std::io::stdin().lock(), std::io::stdout().lock())
        .context("compiling a policy for a gateway")?;
    Ok(ExitCode::SUCCESS)
}
