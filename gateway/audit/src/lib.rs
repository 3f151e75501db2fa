//! Audit events in a hash chain, durable before the answer.
//!
//! One JSON line per operation: who asked, for what, which policy at which digest said what, and
//! how it ended. Every line carries the hash of the line before it ([`line`](mod@line) has the
//! format), so that [`verify`] finds a line that was removed, changed or moved. What a chain alone
//! cannot show, lines cut off its end or a chain recomputed from some line on, the *head* shows: a
//! small file beside the log (`LOG.head`) with the last line's number and hash under a MAC.
//! Somebody who can put back both an old log and the head of that moment remains unseen; ship the
//! lines elsewhere if that is a threat.
//!
//! [`Audit::record`] returns when the line is on disk and fails when it is not; the caller then
//! must not answer. Secrets have no place in an event: correlate them by [`Audit::keyed_hash`].
//!
//! A log is one file for its lifetime: it is not rotated, and a file that another program rotates
//! or truncates makes `record` fail. To begin a new log, stop the gateway and move the log together
//! with its head.

mod audit;
mod event;
mod file;
mod head;
mod key;
pub mod line;
mod names;
mod sink;
mod verify;

pub use audit::{Audit, AuditConfig, AuditError, OpenError};
pub use event::{Actor, Decision, Event, Outcome};
pub use head::HeadError;
pub use key::{AuditKey, WeakKey};
pub use names::NameList;
pub use sink::{MemorySink, Sink, StdoutSink};
pub use verify::{Finding, Kind, Seal, Verified, VerifyError, verify};
