//! How results are printed.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::commands::say;

/// For whom results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Prints a result as text or as JSON.
pub(crate) fn print(
    output: Output,
    result: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<()> {
    match output {
        Output::Text => say(text().trim_end()),
        Output::Json => say(&serde_json::to_string_pretty(result)?),
    }
}
