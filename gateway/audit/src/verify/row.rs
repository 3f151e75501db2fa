//! The files of a log in the order of their lines.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::VerifyError;
use super::finding::{Finding, Kind};
use crate::lines::Lines;
use crate::paths::{Names, closed_number, first_line, unpacked_name};

/// A file in its place.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// The number of its first line.
    pub(super) first: u64,
}

/// Whether it has something in it that does not even begin as a line does, such as a file that is packed.
fn is_something_else(path: &Path) -> io::Result<bool> {
    let mut first = [0];
    Ok(File::open(path)?.read(&mut first)? == 1 && first != *b"{")
}

/// Puts files in order by their first lines. One without any line comes last, as the file of a log that
/// has just begun, or where its name says.
pub(super) fn order(files: &[PathBuf]) -> Result<Vec<Part>, VerifyError> {
    let mut row = Vec::new();
    for path in files {
        let read = |cause| VerifyError::Read { path: path.clone(), cause };
        let unpacked = unpacked_name(path);
        let named = closed_number(&unpacked);
        let first = Lines::open_packed(path).and_then(first_line).map_err(read)?;
        if let (Some(named), Some(first)) = (named, first)
            && named != first
        {
            let closed = Names::new(&unpacked).closed(first);
            // Its own name has a number, which is in the way of the right one.
            let name = closed.file_name().unwrap_or_default().to_string_lossy();
            let name = name.replacen(&format!("-{named:020}"), "", 1);
            return Err(VerifyError::Renamed { path: path.clone(), name });
        }
        if let (Some(seq), None) = (named, first)
            && std::fs::metadata(path).map_err(read)?.len() == 0
        {
            let finding = Finding { line: 0, seq: Some(seq), kind: Kind::CutOff };
            return Err(VerifyError::Broken { path: path.clone(), finding });
        }
        if first.is_none() && is_something_else(path).map_err(read)? {
            return Err(VerifyError::NotALog { path: path.clone() });
        }
        let first = first.or(named).unwrap_or(if files.len() == 1 { 1 } else { u64::MAX });
        row.push(Part { path: path.clone(), first });
    }
    row.sort_by_key(|part| part.first);
    for pair in row.windows(2) {
        if let [one, other] = pair
            && one.first == other.first
        {
            if other.first == u64::MAX {
                return Err(VerifyError::NotALog { path: other.path.clone() });
            }
            return Err(VerifyError::Twice {
                path: other.path.clone(),
                other: one.path.clone(),
                first: one.first,
            });
        }
    }
    Ok(row)
}
