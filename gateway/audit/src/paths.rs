//! The files of a log: where they are and what they are called.
//!
//! The file that is written has the name that is configured, such as `audit.jsonl`. One that is closed
//! is called after its first line, `audit-00000000000000000001.jsonl`, so that names sort in the order
//! of the lines. Beside the log are its head, its newest checkpoint and the public key for those.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::lines::{Lines, Next};

/// How many files in a directory are looked at.
const FILES: usize = 100_000;

/// What is in the name of a file with which something is wrong.
const SET_ASIDE: &str = ".set-aside-";

/// The names of a log's files.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    path: PathBuf,
}

impl Names {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The file that is written.
    pub(crate) fn active(&self) -> &Path {
        &self.path
    }

    /// The file whose first line has this number, once it is closed.
    pub(crate) fn closed(&self, first: u64) -> PathBuf {
        self.with(&format!("-{first:020}"))
    }

    /// Where a file goes with which something is wrong.
    pub(crate) fn set_aside(&self, time: Timestamp) -> PathBuf {
        self.with(&format!("{SET_ASIDE}{}", time.strftime("%Y%m%dT%H%M%S.%6fZ")))
    }

    /// Whether it was put there.
    pub(crate) fn is_set_aside(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name.to_string_lossy().contains(SET_ASIDE))
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.beside("head")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.beside("checkpoint")
    }

    pub(crate) fn public_key(&self) -> PathBuf {
        self.beside("pub")
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(".");
        path.push(end);
        path.into()
    }

    /// `audit` + infix + `.jsonl`.
    fn with(&self, infix: &str) -> PathBuf {
        let mut name = self.path.file_stem().unwrap_or_default().to_owned();
        name.push(infix);
        if let Some(end) = self.path.extension() {
            name.push(".");
            name.push(end);
        }
        self.path.with_file_name(name)
    }

    /// The directory of the files.
    pub(crate) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The files of the log in its directory, by the number of their first line. A closed file's is in
    /// its name; other files that are called after the log, as `logrotate` leaves them, are read for
    /// it. Packed files are no part of a log that is written.
    pub(crate) fn files(&self) -> io::Result<BTreeMap<u64, PathBuf>> {
        self.files_by(|path| first_line(Lines::open(path)?))
    }

    /// The same with the files that were packed since. One that is also there unpacked is left out.
    pub(crate) fn files_and_packed(&self) -> io::Result<BTreeMap<u64, PathBuf>> {
        self.files_by(|path| {
            let first = Lines::open_packed(path).and_then(first_line);
            first.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
        })
    }

    fn files_by(
        &self,
        first_line: impl Fn(&Path) -> io::Result<Option<u64>>,
    ) -> io::Result<BTreeMap<u64, PathBuf>> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let beside = [self.head(), self.checkpoint(), self.public_key()];
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(self.directory())?.take(FILES) {
            let path = self.directory().join(entry?.file_name());
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // What a crash left of a file that was being made is not part of the log.
            let is_draft = path.extension().is_some_and(|end| end == "new");
            if !name.starts_with(&stem) || is_draft || beside.contains(&path) || !path.is_file() {
                continue;
            }
            if let Some(first) = closed_number(&path) {
                files.insert(first, path);
            } else if let Some(first) = first_line(&path)? {
                // The name of a closed file, and the log's own, count more than others.
                let is_packed = |path: &Path| unpacked_name(path) != path;
                let counts_more = |known: &PathBuf| is_packed(known) && !is_packed(&path);
                if path == self.path || files.get(&first).is_none_or(counts_more) {
                    files.insert(first, path);
                }
            }
        }
        Ok(files)
    }
}

/// The number in the name of a closed file.
pub(crate) fn closed_number(path: &Path) -> Option<u64> {
    let digits = path.file_stem()?.to_str()?.rsplit_once('-')?.1;
    let number = digits.parse().ok()?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// What a file was called before it was packed.
pub(crate) fn unpacked_name(path: &Path) -> PathBuf {
    let is_packed = path.extension().is_some_and(|end| end == "gz");
    if is_packed { path.with_extension("") } else { path.to_owned() }
}

/// The number of the first line of a file, if it begins as a file of a log does.
pub(crate) fn first_line(mut lines: Lines) -> io::Result<Option<u64>> {
    match lines.next()? {
        Next::Line(line) => Ok(Some(line.link.seq)),
        Next::Malformed | Next::Torn(_) | Next::End => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_file_is_called_after_its_first_line() {
        let names = Names::new(Path::new("/var/log/audit.jsonl"));
        let closed = names.closed(42);
        assert_eq!(closed, Path::new("/var/log/audit-00000000000000000042.jsonl"));
        assert_eq!(closed_number(&closed), Some(42));
        assert!(names.closed(9) < names.closed(10));
        assert_eq!(names.head(), Path::new("/var/log/audit.jsonl.head"));
        let set_aside = names.set_aside(Timestamp::UNIX_EPOCH);
        assert_eq!(set_aside, Path::new("/var/log/audit.set-aside-19700101T000000.000000Z.jsonl"));
        for other in [names.active(), &set_aside, Path::new("audit-2026.jsonl"), Path::new("a")] {
            assert_eq!(closed_number(other), None, "{other:?}");
        }
        assert_eq!(Names::new(Path::new("log")).closed(1), Path::new("log-00000000000000000001"));
        assert_eq!(Names::new(Path::new("log")).directory(), Path::new("."));
    }
}
