use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::AuditKey;
use crate::head::{Head, HeadError};
use crate::line::{self, Link, MAX_LINE, Tip};

/// A log that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many lines it has.
    pub lines: u64,
    /// Hash of the last line (64 zeros if there is none).
    pub last_hash: String,
    /// Bytes of an unfinished last line, as a crash leaves it. The next start cuts it off.
    pub torn_bytes: u64,
    /// How far the end of the log can be trusted.
    pub seal: Seal,
}

/// How far the end of a log can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// There is no head: lines cut off the end would not be noticed.
    Absent,
    /// The head agrees, but without the key it could have been made by anybody.
    Unchecked,
    /// The head agrees and was made with the audit key.
    Authentic,
}

/// Why a log is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error("audit log {path} could not be read: {cause}")]
    Read {
        /// The log.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Its head is wrong.
    #[error("audit log {path}: {problem}")]
    Head {
        /// The log.
        path: PathBuf,
        /// What is wrong.
        problem: HeadError,
    },
    /// A line is wrong.
    #[error("audit log {path}: {finding}")]
    Broken {
        /// The log.
        path: PathBuf,
        /// The first line that is wrong.
        finding: Finding,
    },
}

/// The first line of a log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number of the line in the file, counted from 1; where a line is missing, the line that now
    /// stands in its place.
    pub line: u64,
    /// Sequence number: of the line concerned, or of the first that is missing. None where it cannot
    /// be known.
    pub seq: Option<u64>,
    /// What happened to it.
    pub kind: Kind,
}

/// What happened to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It is not a line of an audit log.
    Malformed,
    /// It is not what was written: its hash, or the hash that the next line or the head has of it,
    /// does not fit.
    Changed,
    /// Lines from [`Finding::seq`] to this number are gone.
    Removed {
        /// The last missing sequence number.
        to: u64,
    },
    /// The line stands in another place than it was written.
    Reordered,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, seq, kind } = self;
        let seq = seq.map_or_else(|| "unknown".to_owned(), |seq| seq.to_string());
        match kind {
            Kind::Malformed => write!(f, "line {line} is not an audit line"),
            Kind::Changed => write!(f, "line {line} (seq {seq}) was changed"),
            Kind::Removed { to } if seq == to.to_string() => {
                write!(f, "the line with seq {seq} was removed before line {line}")
            }
            Kind::Removed { to } => {
                write!(f, "the lines with seq {seq} to {to} were removed before line {line}")
            }
            Kind::Reordered => write!(f, "line {line} (seq {seq}) was moved or repeated"),
        }
    }
}

/// Checks a whole log from its first line: every line's hash, the chain, and the head beside it if
/// there is one; with the key also the head's seal. A log that a gateway is writing can be checked.
///
/// # Errors
/// The first line that is wrong, named; see [`VerifyError`]. With the key, a log without head is an
/// error.
pub fn verify(path: &Path, key: Option<&AuditKey>) -> Result<Verified, VerifyError> {
    let unreadable = |cause| VerifyError::Read { path: path.to_owned(), cause };
    let bad_head = |problem| VerifyError::Head { path: path.to_owned(), problem };
    let broken = |finding| VerifyError::Broken { path: path.to_owned(), finding };

    // The head first: the log of a running gateway only grows beyond it.
    let head = Head::read(&Head::path(path), key).map_err(unreadable)?;
    let head = head.transpose().map_err(bad_head)?;
    let mut lines = Lines::open(path).map_err(unreadable)?;
    let mut tip = Tip::start();
    loop {
        let next = lines.next().map_err(unreadable)?;
        let misfit = |kind, seq| Finding { line: lines.number, seq, kind };
        let link = match next {
            Next::Line(link) => link,
            Next::Malformed => return Err(broken(misfit(Kind::Malformed, Some(tip.seq + 1)))),
            Next::End => break,
        };
        if link.hash != link.computed {
            return Err(broken(misfit(Kind::Changed, Some(link.seq))));
        }
        if link.seq != tip.seq + 1 {
            let finding = out_of_order(path, lines.number, &link, &tip).map_err(unreadable)?;
            return Err(broken(finding));
        }
        if link.prev != tip.hash {
            // The line before states its own hash correctly and yet is not the one that this line
            // was written after.
            let line = lines.number.saturating_sub(1).max(1);
            return Err(broken(Finding { line, seq: Some(tip.seq.max(1)), kind: Kind::Changed }));
        }
        tip = Tip { seq: link.seq, hash: link.hash };
        if head.as_ref().is_some_and(|head| head.tip.seq == tip.seq && head.tip.hash != tip.hash) {
            return Err(broken(misfit(Kind::Changed, Some(tip.seq))));
        }
    }
    if let Some(head) = head.as_ref().filter(|head| head.tip.seq > tip.seq) {
        let kind = Kind::Removed { to: head.tip.seq };
        return Err(broken(Finding { line: tip.seq + 1, seq: Some(tip.seq + 1), kind }));
    }
    let seal = match (head, key) {
        (None, Some(_)) if tip.seq > 0 => return Err(bad_head(HeadError::Missing)),
        (None, _) => Seal::Absent,
        (Some(_), None) => Seal::Unchecked,
        (Some(_), Some(_)) => Seal::Authentic,
    };
    Ok(Verified { lines: tip.seq, last_hash: tip.hash, torn_bytes: lines.torn, seal })
}

/// The line is sound but not the next: is the next gone, or elsewhere?
fn out_of_order(path: &Path, number: u64, found: &Link, tip: &Tip) -> io::Result<Finding> {
    let wanted = tip.seq + 1;
    let reordered = Finding { line: number, seq: Some(found.seq), kind: Kind::Reordered };
    if found.seq < wanted {
        return Ok(reordered);
    }
    let mut lines = Lines::open(path)?;
    loop {
        match lines.next()? {
            Next::Line(link) if link.seq == wanted && lines.number > number => {
                return Ok(reordered);
            }
            Next::Line(_) | Next::Malformed => {}
            Next::End => break,
        }
    }
    Ok(Finding { line: number, seq: Some(wanted), kind: Kind::Removed { to: found.seq - 1 } })
}

enum Next {
    Line(Link),
    Malformed,
    End,
}

struct Lines {
    reader: BufReader<File>,
    number: u64,
    torn: u64,
    buffer: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        Ok(Self { reader, number: 0, torn: 0, buffer: Vec::new() })
    }

    fn next(&mut self) -> io::Result<Next> {
        self.buffer.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(Next::End);
        }
        if let Some(line) = self.buffer.strip_suffix(b"\n") {
            self.number += 1;
            return Ok(line::read(line).map_or(Next::Malformed, Next::Line));
        }
        if read < MAX_LINE {
            self.torn = u64::try_from(read).unwrap_or(u64::MAX);
            return Ok(Next::End);
        }
        self.number += 1;
        Ok(Next::Malformed)
    }
}
