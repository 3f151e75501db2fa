//! The lines that the log writes about itself.

use chancery_identity::{Clock, RequestContext, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Event;
use crate::checkpoint::PublicKey;
use crate::line::Chain;
use crate::mark::peaks_of;
use crate::tree::Tree;

/// The first line of a file.
pub(crate) const BEGIN: &str = "audit.begin";
/// From here on a log of the first format has MACs.
pub(crate) const UPGRADE: &str = "audit.upgrade";
/// A signed statement about the lines before.
pub(crate) const CHECKPOINT: &str = "audit.checkpoint";
/// A crash had left half a line, which was cut off.
pub(crate) const RECOVER: &str = "audit.recover";
/// The first line of a file that an operator had begun because lines are missing.
pub(crate) const ACCEPT_LOSS: &str = "audit.accept-loss";

/// What the format of lines is called that have MACs.
const FORMAT: u8 = 2;

/// Why there is a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Its time has come.
    Interval,
    /// Its file ends here.
    EndOfFile,
    /// A write failed, and this one shows whether the next can succeed.
    Retry,
    /// The gateway stops.
    Stop,
}

impl Occasion {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::EndOfFile => "end-of-file",
            Self::Retry => "retry",
            Self::Stop => "stop",
        }
    }
}

/// An event of the log itself.
pub(crate) fn event(clock: &Clock, operation: &'static str, resource: String) -> Event {
    let context = RequestContext::internal(TenantId::default_tenant(), clock.now());
    Event::new(&context, operation, resource).succeeded()
}

/// Adds what a first line tells, so that its file can be checked without those before it.
pub(crate) fn about(event: Event, chain: &Chain, key: &PublicKey) -> Event {
    let tree: Vec<_> = chain.tree.peaks().iter().map(hex::encode).collect();
    event.detail("format", FORMAT).detail("tree", tree).detail("public_key", key.to_string())
}

/// The file before the one that begins.
pub(crate) fn previous(name: &str, first: u64, chain: &Chain, why: &str) -> Value {
    json!({
        "name": name,
        "first": first,
        "last": chain.tip.seq,
        "hash": chain.tip.hash,
        "closed_for": why,
    })
}

/// What is read of such a line.
#[derive(Debug, Deserialize)]
pub(crate) struct Own {
    pub(crate) time: String,
    pub(crate) operation: String,
    pub(crate) resource: String,
    #[serde(default)]
    pub(crate) details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    pub(crate) tree: Option<Vec<String>>,
    pub(crate) previous: Option<Previous>,
    pub(crate) note: Option<String>,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Previous {
    pub(crate) name: String,
}

impl Own {
    /// Reads a line if it is one of these. Most lines are not, which a look at their bytes says.
    pub(crate) fn read(line: &[u8]) -> Option<Self> {
        const HINT: &[u8] = br#""operation":"audit."#;
        line.windows(HINT.len()).any(|window| window == HINT).then_some(())?;
        let own: Self = serde_json::from_slice(line).ok()?;
        own.operation.starts_with("audit.").then_some(own)
    }

    /// The tree before this line, which has the number `seq`.
    pub(crate) fn tree(&self, seq: u64) -> Option<Tree> {
        Tree::of(seq.checked_sub(1)?, peaks_of(self.details.tree.as_ref()?)?)
    }
}
