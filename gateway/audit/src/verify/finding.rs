//! What verification finds wrong with an audit log: its errors, and the first wrong line.

use std::io;
use std::path::PathBuf;

use crate::HeadError;

/// Why a log is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No file was given.
    #[error("there is no audit log to check")]
    NoFiles,
    /// It could not be read.
    #[error("audit log {path}: it could not be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Its head is wrong.
    #[error("audit log {path}: {problem}")]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: HeadError,
    },
    /// A line is wrong.
    #[error("audit log {path}: {finding}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// The first line that is wrong.
        finding: Finding,
    },
    /// It is something else than a file of the log.
    #[error(
        "{path}: it does not begin as a file of an audit log does: name only those, and unpack those that \
         are packed by something else than gzip"
    )]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// Two files begin with the same line.
    #[error(
        "audit log {path}: it begins with line {first}, as {other} does: one of them is a copy"
    )]
    Twice {
        /// One of them.
        path: PathBuf,
        /// The other.
        other: PathBuf,
        /// The number of the line.
        first: u64,
    },
    /// A closed file has another name than it was given.
    #[error("audit log {path}: it was renamed: it was closed as {name}")]
    Renamed {
        /// The file.
        path: PathBuf,
        /// Its name.
        name: String,
    },
    /// The end is missing: lines, or whole files.
    #[error(
        "audit log {path}: it ends with line {last}, and {witness} says that it had {lines}: lines \
         were removed from its end, files are missing, or it is an older log"
    )]
    Short {
        /// The last file.
        path: PathBuf,
        /// The last line that is there.
        last: u64,
        /// How many there were.
        lines: u64,
        /// Who says so.
        witness: &'static str,
    },
    /// It is another log than the one that was marked or signed.
    #[error(
        "audit log {path}: line {line} is not the one that {witness} knows: the log was replaced"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// Who knows another.
        witness: &'static str,
    },
    /// A checkpoint is not signed by the key that says so.
    #[error("audit log {path}: the checkpoint of {lines} lines was not signed by this public key")]
    Unsigned {
        /// The file, or the one of the checkpoint.
        path: PathBuf,
        /// How many lines it is about.
        lines: u64,
    },
    /// There is no checkpoint that the key has signed.
    #[error(
        "audit log {path}: no checkpoint in it is signed by this public key: nothing shows that the \
         gateway wrote it"
    )]
    NeverSigned {
        /// The last file.
        path: PathBuf,
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
    /// Its MAC is missing, or was not made with the audit key.
    Unauthentic,
    /// It states another tree than the lines before it have.
    WrongTree,
    /// The file was closed and does not end as it was: lines were removed from its end.
    CutOff,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, seq, kind } = self;
        let seq = seq.map_or_else(|| "unknown".to_owned(), |seq| seq.to_string());
        match kind {
            Kind::Malformed => write!(f, "line {line} is not an audit line"),
            Kind::Changed => write!(f, "line {line} (seq {seq}) was changed"),
            Kind::Removed { to } => {
                if seq == to.to_string() {
                    write!(f, "the line with seq {seq} was removed before line {line}")?;
                } else {
                    write!(f, "the lines with seq {seq} to {to} were removed before line {line}")?;
                }
                if *line == 1 {
                    let next = to.saturating_add(1);
                    write!(
                        f,
                        ", or a file before this one is missing: give it too (audit-*.jsonl, audit.jsonl.1), or say `--from-line {next}` if it is elsewhere"
                    )?;
                }
                Ok(())
            }
            Kind::Reordered => write!(f, "line {line} (seq {seq}) was moved or repeated"),
            Kind::Unauthentic => {
                write!(
                    f,
                    "line {line} (seq {seq}) was not written by the gateway: its MAC is not the audit key's"
                )
            }
            Kind::WrongTree => {
                write!(f, "line {line} (seq {seq}) states another history than the lines before it")
            }
            Kind::CutOff => write!(
                f,
                "after line {line} (seq {seq}) lines were removed: a file that was closed ends with a checkpoint"
            ),
        }
    }
}
