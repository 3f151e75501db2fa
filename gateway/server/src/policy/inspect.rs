//! `chancery policy inspect`: shows a plugin's name, decision, imports, exports and settings schema.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chancery_policy::Inspection;

use super::{Output, print};

/// `chancery policy inspect`.
pub(super) fn run(file: &Path, output: Output) -> Result<ExitCode> {
    let wasm = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let seen = Inspection::of(file, &wasm)?;
    print(output, &seen, || text(&seen))?;
    Ok(ExitCode::SUCCESS)
}

fn text(seen: &Inspection) -> String {
    let listed = |names: &[String]| {
        if names.is_empty() { "nothing".to_owned() } else { names.join("\n           ") }
    };
    let schema = serde_json::to_string_pretty(&seen.settings_schema).unwrap_or_default();
    format!(
        "plugin     {} {}\n           {}\ndecision   {}\ncontract   {}\ndigest     {}\nsize       {} bytes\nmemory     {} KiB at first\nimports    {}\nexports    {}\nsettings   {}",
        seen.name,
        seen.version,
        seen.summary,
        seen.decision,
        seen.contract,
        seen.digest,
        seen.bytes,
        seen.memory / 1024,
        listed(&seen.imports),
        listed(&seen.exports),
        schema,
    )
}
