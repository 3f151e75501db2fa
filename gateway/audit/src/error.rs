//! Why the log was not written or not opened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chancery_files::Untrusted;

use crate::line::MAX_LINE;
use crate::{HeadError, WeakKey};

/// The event is not on record: the caller must not answer as if the operation was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The sink refused, for instance because the disk is full.
    #[error("the audit log could not be written: {0}")]
    Write(Arc<io::Error>),
    /// The log was closed, because the gateway is stopping.
    #[error("the audit log is closed")]
    Closed,
    /// The event does not fit into a line.
    #[error("the audit event has {0} bytes; a line holds at most {max}", max = MAX_LINE)]
    TooLarge(usize),
    /// The event is not expressible as JSON.
    #[error("the audit event cannot be encoded: {0}")]
    Encoding(String),
}

/// Why a log was not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The key is too short.
    #[error(transparent)]
    Key(#[from] WeakKey),
    /// The file system refused.
    #[error("audit log {path}: {doing} failed: {cause}")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// Somebody else may change it, or put another file in its place.
    #[error("the audit log: {0}")]
    Untrusted(#[from] Untrusted),
    /// Another process writes this log.
    #[error("audit log {0} is in use by another process")]
    InUse(PathBuf),
    /// The head does not fit: missing, damaged or made with another key.
    #[error("audit log {path}: {problem}; {ADVICE}")]
    Head {
        /// The log.
        path: PathBuf,
        /// What is wrong with its head.
        problem: HeadError,
    },
    /// The log does not go on to where it was written, as its mark or its head says.
    #[error("audit log {path}: {problem}; {ADVICE}")]
    Broken {
        /// The log.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// The mark could not be stored, so that nothing would show later that this log was shortened.
    #[error("audit log {path}: its mark could not be stored: {problem}")]
    Mark {
        /// The log.
        path: PathBuf,
        /// What the store said.
        problem: String,
    },
    /// The writer thread could not be started.
    #[error("the audit writer could not be started: {0}")]
    Thread(io::Error),
}

/// What to do about a log that is not whole.
const ADVICE: &str = "look at it with `chancery audit verify`, keep it as evidence, and put back what \
                      is missing; if nobody has that any more, `chancery audit accept-loss --config \
                      FILE --reason TEXT` begins a new file and puts that on record";
