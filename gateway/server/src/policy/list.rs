//! `chancery policy list`: shows the bindings that the configuration puts in force.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use chancery_policy::InForce;

use super::{Output, print};
use crate::commands::with_policies;
use crate::config::Config;

/// `chancery policy list`.
pub(super) fn run(config: &Path, output: Output) -> Result<ExitCode> {
    let config = Config::load(config)?;
    let bindings = with_policies(&config, |host| Ok(host.in_force()))?;
    print(output, &bindings, || text(&bindings))?;
    Ok(ExitCode::SUCCESS)
}

fn text(bindings: &[InForce]) -> String {
    let mut text = String::new();
    for one in bindings {
        let _ = writeln!(
            text,
            "{}  ({}, {})\n    {} {}, {} {}\n    {}",
            one.binding,
            one.decision,
            one.mode,
            one.name,
            one.version,
            one.plugin,
            one.digest,
            one.place,
        );
    }
    if text.is_empty() { "there are no bindings: everything is denied".to_owned() } else { text }
}
