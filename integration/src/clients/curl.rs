//! curl.

use std::path::Path;
use std::process::Command;

use crate::process::{self, Outcome};

/// curl as somebody types it: told whom to trust, and perhaps who it is.
#[derive(Clone, Copy, Debug)]
pub struct Curl<'a> {
    root: &'a Path,
    credential: Option<(&'a Path, &'a Path)>,
}

impl<'a> Curl<'a> {
    /// curl without a client certificate.
    #[must_use]
    pub fn new(root: &'a Path) -> Self {
        Self { root, credential: None }
    }

    /// curl with a client certificate and its key.
    #[must_use]
    pub fn with(self, certificate: &'a Path, key: &'a Path) -> Self {
        Self { credential: Some((certificate, key)), ..self }
    }

    /// Runs curl with further arguments. What it prints ends with a line that has the status code.
    #[track_caller]
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(process::tool("curl"));
        command.args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--write-out",
            "\n%{http_code}",
        ]);
        command.arg("--cacert").arg(self.root);
        if let Some((certificate, key)) = self.credential {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        process::run(command.args(arguments))
    }
}
