//! The table and the file.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// One figure beside its floor.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    name: String,
    ours: f64,
    floor: f64,
    unit: &'static str,
    /// `ours / floor`: above 1 is worse for times and better for rates.
    ratio: f64,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, ours: f64, floor: f64) -> Self {
        Self { name: name.into(), ours, floor, unit, ratio: ours / floor }
    }
}

/// Where the figures go, for programs.
const FILE: &str = "target/bench.json";

pub(crate) fn write(rows: &[Row]) -> anyhow::Result<()> {
    let path = Path::new(FILE);
    std::fs::create_dir_all("target")?;
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {FILE}"))
}

pub(crate) fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    println!("\n{:width$}  {:>12}  {:>12}  {:>8}  unit", "", "ours", "floor", "ratio");
    for row in rows {
        println!(
            "{:width$}  {:>12}  {:>12}  {:>8.2}  {}",
            row.name,
            figure(row.ours),
            figure(row.floor),
            row.ratio,
            row.unit
        );
    }
}

/// Three significant digits are all that a shared machine gives.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
