//! Audit events in a hash chain, durable before the answer.
//!
//! One JSON line per operation: who asked, for what, which policy at which digest said what, and
//! how it ended. Four things show that a log is the one that was written:
//!
//! - **The chain.** Every line carries the hash of the line before it ([`line`](mod@line) has the
//!   format), so that [`verify`] finds a line that was removed, changed or moved. It needs no key, so
//!   an attacker who can write the file can make up another chain.
//! - **The MACs.** Every line carries a MAC under a key that is derived from the audit key. Without the
//!   key nobody can write a line that passes.
//! - **The head and the mark.** Lines cut off the end leave a sound log, and so does an older log that is
//!   put back. The *head*, beside the log, has the number and hash of the last line under a MAC; whoever
//!   puts back the head of that moment too is shown by the *mark* ([`Mark`]), which the caller keeps in
//!   its sealed store. A log that is ahead of its mark is accepted, one that does not contain the mark's
//!   line is refused until an operator says otherwise on the record ([`accept_loss`]). The mark is
//!   written a second after a line at the latest, or 5,000 lines: what was written since is the window in
//!   which lines can be removed unseen, if the head is put back too.
//! - **The checkpoints** ([`Checkpoint`]). A MAC proves nothing to somebody without the key. At intervals,
//!   at the end of a file and at a stop the gateway signs how many lines there are, with the root of
//!   a Merkle tree over them, in the form of transparency logs. Who keeps one can show that the log was
//!   changed before it; that is also what shows when the store is put back together with the log.
//!
//! A log is a row of files. It begins the next one when the file is long or old enough ([`Rotation`]),
//! or when somebody has moved it away and says so ([`Audit::reopen`]); the first line of a file names
//! the last one of the file before. A log whose lines have no MACs, as gateways wrote it before there
//! were any, is continued: the line `audit.upgrade` pins what is there, as its head vouched for it then.
//!
//! [`Audit::record`] returns when the line is on disk and fails when it is not; the caller then
//! must not answer. Secrets have no place in an event: correlate them by [`Audit::keyed_hash`].

mod audit;
mod bound;
mod checkpoint;
mod condition;
mod config;
mod encode;
mod error;
mod event;
mod file;
mod find;
mod head;
mod keeper;
mod key;
pub mod line;
mod lines;
mod log;
mod loss;
mod mark;
mod names;
mod own;
mod paths;
mod refusals;
mod sink;
mod tree;
mod verify;
mod writer;

pub use audit::Audit;
pub use checkpoint::{
    Checkpoint, InvalidCheckpoint, InvalidLogName, InvalidPublicKey, LogName, PublicKey,
};
pub use condition::Condition;
pub use config::{AuditConfig, Rotation};
pub use error::{AuditError, OpenError};
pub use event::{Actor, Decision, Event, Outcome};
pub use head::HeadError;
pub use key::{AuditKey, WeakKey};
pub use line::Tip;
pub use loss::{AcceptLossError, AcceptedLoss, accept_loss};
pub use mark::{InvalidMark, KnownMark, Mark, Marks, WriteMark};
pub use names::NameList;
pub use sink::{MemorySink, Sink, StdoutSink};
pub use verify::{
    Checks, Finding, Kind, Loss, Pace, Patrolled, Seal, Signatures, Verified, VerifyError,
    files_of, verify,
};
