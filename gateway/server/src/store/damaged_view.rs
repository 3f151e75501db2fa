//! Damaged records, for people.

use serde::Serialize;

/// A damaged record.
#[derive(Debug, Serialize)]
pub(super) struct DamagedView {
    pub(super) key: String,
    pub(super) reason: String,
    /// How many records do not open because of it, itself included.
    pub(super) records: u64,
}

pub(super) fn lines(damaged: &[DamagedView]) -> String {
    let line = |one: &DamagedView| match one.records {
        1 => format!("  {}: {}", one.key, one.reason),
        records => format!("  {}: {}; {records} records do not open for it", one.key, one.reason),
    };
    damaged.iter().map(line).collect::<Vec<_>>().join("\n")
}
