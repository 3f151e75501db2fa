//! How results are printed.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::commands::{complain, say};

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
        Output::Text => match text().trim_end() {
            // After a mistyped name an empty line would look like success.
            "" => {
                complain(&anyhow::anyhow!("nothing matches"));
                Ok(())
            }
            text => say(text),
        },
        Output::Json => say(&serde_json::to_string_pretty(result)?),
    }
}
