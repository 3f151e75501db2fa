//! Verifying the log that is being written, a little at a time.
//!
//! A round reads all files that are in the log's directory, from the oldest to what was written when the round began,
//! as [`verify`](super::verify) does with the audit key. It reads no more than so many bytes in a second.

use std::sync::Arc;
use std::time::Duration;

use chancery_identity::Clock;
use jiff::Timestamp;
use tokio::sync::watch;

use super::row::Part;
use super::walk::Walk;
use super::{Checks, VerifyError};
use crate::checkpoint::{LogName, PublicKey};
use crate::line::Chain;
use crate::paths::Names;
use crate::{AuditKey, Mark};

/// After how many bytes it rests.
const PORTION: u64 = 64 << 10;

/// How long it sleeps at most without looking whether the log was closed.
const NAP: Duration = Duration::from_millis(200);

/// How often a file is read before what is found in it is believed: it may have got another name while it was looked
/// for.
const TRIES: u32 = 3;

/// How much a log is verified while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many bytes are read in a second, at most.
    pub bytes_per_second: u64,
    /// How long after one round the next begins.
    pub pause: Duration,
}

/// What is known of a log from verifying it while it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patrolled {
    /// How many rounds have ended.
    pub rounds: u64,
    /// When the last one ended that found everything as it was written; none if none has.
    pub whole_at: Option<Timestamp>,
    /// Up to which line it was then.
    pub whole_to: u64,
    /// What the last round found that is not as it was written.
    pub finding: Option<String>,
}

/// Reads a log while it is written.
pub(crate) struct Patrol {
    pub(crate) names: Names,
    pub(crate) name: LogName,
    pub(crate) key: Arc<AuditKey>,
    /// How far the log has come. When nobody writes it any more, the patrol ends.
    pub(crate) position: watch::Receiver<Mark>,
    pub(crate) clock: Clock,
}

/// Where a round is, between two files.
#[derive(Debug, Clone)]
struct Between {
    before: Part,
    chain: Chain,
    macs: bool,
}

/// The log was closed.
struct Closed;

/// Sleeps so that no more than so many bytes are read in a second.
struct Rests {
    bytes_per_second: u64,
    read: u64,
    position: watch::Receiver<Mark>,
}

impl Rests {
    fn sleep(&self, mut rest: Duration) -> Result<(), Closed> {
        loop {
            if self.position.has_changed().is_err() {
                return Err(Closed);
            }
            if rest.is_zero() {
                return Ok(());
            }
            let nap = rest.min(NAP);
            #[expect(
                clippy::disallowed_methods,
                reason = "this thread has nothing to wait for but time"
            )]
            std::thread::sleep(nap);
            rest = rest.saturating_sub(nap);
        }
    }

    fn after(&mut self, bytes: u64) -> Result<(), Closed> {
        self.read += bytes;
        if self.read < PORTION {
            return Ok(());
        }
        metrics::counter!("chancery_audit_verified_bytes_total").increment(self.read);
        let nanoseconds =
            u128::from(self.read) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        self.read = 0;
        self.sleep(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

/// Why a round ended before its end.
enum Ended {
    Closed,
    Wrong(VerifyError),
}

impl From<Closed> for Ended {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl Patrol {
    /// Goes round until the log is closed, and tells what it finds.
    pub(crate) fn run(self, pace: Pace, told: &watch::Sender<Patrolled>) {
        let mut rests = Rests {
            bytes_per_second: pace.bytes_per_second,
            read: 0,
            position: self.position.clone(),
        };
        metrics::gauge!("chancery_audit_mismatch").set(0.0);
        loop {
            let goal = self.position.borrow().clone();
            match self.round(&goal, &mut rests) {
                Err(Ended::Closed) => return,
                Ok(()) => self.tell(told, goal.lines(), None),
                Err(Ended::Wrong(error)) => {
                    tracing::error!(%error, "the audit log is not as it was written: look at it with `chancery audit verify`");
                    self.tell(told, goal.lines(), Some(error.to_string()));
                }
            }
            if rests.sleep(pace.pause).is_err() {
                return;
            }
        }
    }

    fn tell(&self, told: &watch::Sender<Patrolled>, to: u64, finding: Option<String>) {
        let now = self.clock.now();
        metrics::gauge!("chancery_audit_mismatch").set(if finding.is_some() { 1.0 } else { 0.0 });
        if finding.is_none() {
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are few")]
            metrics::gauge!("chancery_audit_verified_timestamp_seconds")
                .set(now.as_second() as f64);
        }
        told.send_modify(|told| {
            told.rounds += 1;
            if finding.is_none() {
                told.whole_at = Some(now);
                told.whole_to = to;
            }
            told.finding = finding;
        });
    }

    /// Reads all that is there up to `goal`.
    fn round(&self, goal: &Mark, rests: &mut Rests) -> Result<(), Ended> {
        let mut between = None;
        let mut tries = 0;
        while between.as_ref().map_or(0, |at: &Between| at.chain.tip.seq) < goal.lines() {
            match self.file(between.clone(), goal, rests) {
                Ok(next) => {
                    between = Some(next);
                    tries = 0;
                }
                Err(Ended::Wrong(_)) if tries + 1 < TRIES => {
                    tries += 1;
                    rests.sleep(NAP)?;
                }
                Err(ended) => return Err(ended),
            }
        }
        Ok(())
    }

    /// Reads the next file.
    fn file(
        &self,
        between: Option<Between>,
        goal: &Mark,
        rests: &mut Rests,
    ) -> Result<Between, Ended> {
        let files = self.names.files().map_err(|cause| {
            Ended::Wrong(VerifyError::Read { path: self.names.directory().to_owned(), cause })
        })?;
        // What is wrong with those that were set aside is known.
        let files = files.into_iter().filter(|(_, path)| !Names::is_set_aside(path));
        let files = files.map(|(first, path)| Part { path, first });
        let mut files = files.filter(|part| part.first <= goal.lines()).peekable();
        let oldest = files.peek().map_or(u64::MAX, |part| part.first);
        // Those that were read may have been taken elsewhere meanwhile, with some that were not: then it begins anew.
        let between = between.filter(|at| oldest <= at.chain.tip.seq);
        let wanted = between.as_ref().map_or(oldest, |at| at.chain.tip.seq + 1);
        let short = |last| {
            let (path, lines) = (self.names.active().to_owned(), goal.lines());
            Ended::Wrong(VerifyError::Short {
                path,
                last,
                lines,
                witness: "the gateway that writes it",
            })
        };
        let last = between.as_ref().map_or(0, |at| at.chain.tip.seq);
        let part = files.find(|part| part.first >= wanted).ok_or_else(|| short(last))?;
        let public_key = PublicKey::of(self.name.clone(), &self.key);
        let checks = Checks {
            key: Some(&self.key),
            mark: Some(goal),
            public_key: Some(&public_key),
            from: wanted,
            to: Some(goal.lines()),
            ..Checks::default()
        };
        let row: Vec<Part> =
            between.iter().map(|at| at.before.clone()).chain([part.clone()]).collect();
        let mut walk = Walk::new(&row, &checks, None);
        if let Some(Between { chain, macs, .. }) = between {
            walk.go_on(chain, macs);
        }
        let mut closed = false;
        let read = walk.read_until(&part, goal.lines(), |bytes| {
            closed = rests.after(bytes).is_err();
            !closed
        });
        if closed {
            return Err(Ended::Closed);
        }
        read.map_err(Ended::Wrong)?;
        let (chain, macs) = walk.so_far();
        // An empty file was cut off just now.
        let chain = chain.filter(|chain| chain.tip.seq > last).ok_or_else(|| short(last))?;
        Ok(Between { before: part, chain, macs })
    }
}
