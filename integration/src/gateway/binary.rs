use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::{self, Outcome};

/// The path of the binary: `CHANCERY_BIN`, or what Cargo builds now.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CHANCERY_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CHANCERY_BIN names {}, which is not a file", path.display());
        return path;
    }
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "chancery-server", "--bin", "chancery"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(process::repository())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "the gateway does not build");
    String::from_utf8(output.stdout)
        .expect("cargo writes UTF-8")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the binary that it built")
}

/// Runs the binary to its end, as `chancery ARGUMENTS`.
#[track_caller]
pub fn chancery(arguments: &[&str]) -> Outcome {
    process::run(Command::new(binary()).args(arguments))
}
