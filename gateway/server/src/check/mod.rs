//! `chancery check`: whether a gateway would start, without starting it. Each part is tried by itself, so that all
//! that is wrong is told at once.

mod files;
mod policies;
mod ports;
mod seal;
mod tokens;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::commands::say;
use crate::config::{Config, ConfigError, InvalidValue};

/// What was found.
struct Findings<'a> {
    file: &'a Path,
    /// The configuration, to tell lines.
    text: String,
    faults: Vec<InvalidValue>,
    notes: Vec<String>,
}

impl Findings<'_> {
    /// The gateway would not start, or not do what the setting says.
    fn fault(&mut self, setting: &str, problem: impl Into<String>) {
        let fault = InvalidValue::new(self.file, &self.text, setting, problem);
        self.faults.push(fault);
    }

    /// Worth knowing, and no fault.
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// Whether a gateway runs with the configuration that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installation {
    /// It has not begun yet.
    New,
    Stopped,
    /// It has the store to itself.
    Running,
}

/// Does what was asked.
pub(crate) async fn run(file: &Path) -> Result<ExitCode> {
    let config = Config::load(file)?;
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut found = Findings { file, text, faults: vec![], notes: vec![] };
    let tokens = tokens::look(&config, &mut found).await;
    let installation = seal::look(&config, &tokens, &mut found).await?;
    tokens.close().await;
    files::look(&config, installation, &mut found);
    ports::look(&config.server, installation, &mut found);
    policies::look(&config, &mut found).await;
    for note in &found.notes {
        say(&format!("note: {note}"))?;
    }
    if !found.faults.is_empty() {
        return Err(ConfigError::Invalid(found.faults).into());
    }
    say(&format!("{}: the configuration and its policies are valid", file.display()))?;
    Ok(ExitCode::SUCCESS)
}
