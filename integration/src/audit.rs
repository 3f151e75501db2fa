//! The audit file, as somebody reads it who has nothing but the file.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One line of the audit file.
pub type Line = Value;

/// Reads an audit file.
#[track_caller]
#[must_use]
pub fn read(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
