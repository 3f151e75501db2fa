//! The high-water mark: how far the log had come. It is kept where a person who can change the log's
//! files cannot change it.
//!
//! The log is in plain files. Its MACs show lines that somebody without the key has written. But an
//! older log that is put back whole is one that the gateway wrote. The mark shows that: the caller keeps
//! it in its sealed store, and a start refuses a log that does not contain the mark's line. The mark
//! lags behind the log ([`Marks`]), so somebody who also puts back the head of that moment can cut off
//! the lines after it unnoticed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::line::{Chain, Tip};
use crate::tree::{Hash, Tree};

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Number of the first line of its file, which names the file.
    pub(crate) first: u64,
    /// Offset in the file where the line begins.
    pub(crate) start: u64,
    /// Offset after its newline.
    pub(crate) end: u64,
}

/// A line that the log has, in the sealed store of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub(crate) chain: Chain,
    pub(crate) place: Place,
}

/// A mark as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    seq: u64,
    hash: String,
    place: Place,
    peaks: Vec<String>,
}

/// The stored value is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mark of the audit log in the store cannot be read: {0}")]
pub struct InvalidMark(String);

impl Mark {
    /// The mark of a log that has no line yet. Store it before the log is begun.
    pub fn start() -> Self {
        Self { chain: Chain::start(), place: Place { first: 1, start: 0, end: 0 } }
    }

    /// How many lines the log had.
    pub fn lines(&self) -> u64 {
        self.chain.tip.seq
    }

    /// The hash of the last of them; 64 zeros if there was none.
    pub fn hash(&self) -> &str {
        &self.chain.tip.hash
    }

    /// The stored form: at most five KiB.
    pub fn encode(&self) -> Vec<u8> {
        let Self { chain: Chain { tip, tree }, place } = self;
        let stored = Stored {
            version: 1,
            seq: tip.seq,
            hash: tip.hash.clone(),
            place: *place,
            peaks: tree.peaks().iter().map(hex::encode).collect(),
        };
        // Numbers and strings can be encoded.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`Mark::encode`] has written.
    ///
    /// # Errors
    /// `bytes` are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidMark> {
        let stored: Stored =
            serde_json::from_slice(bytes).map_err(|error| InvalidMark(error.to_string()))?;
        let Stored { version: 1, seq, hash, place, peaks } = stored else {
            return Err(InvalidMark(format!("version {} is not known here", stored.version)));
        };
        let tree = peaks_of(&peaks).and_then(|peaks| Tree::of(seq, peaks));
        let tree = tree.ok_or_else(|| InvalidMark("its tree does not fit".to_owned()))?;
        Ok(Self { chain: Chain { tip: Tip { seq, hash }, tree }, place })
    }
}

/// Hashes in hex.
pub(crate) fn peaks_of(peaks: &[String]) -> Option<Vec<Hash>> {
    let decode = |peak: &String| {
        let mut hash = Hash::default();
        hex::decode_to_slice(peak, &mut hash).ok().map(|()| hash)
    };
    peaks.iter().map(decode).collect()
}

/// What the caller's store says about the mark at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownMark {
    /// The log had come this far.
    At(Mark),
    /// There is none yet, because a gateway that kept no mark wrote the log. Its head is believed, once.
    NeverKept,
    /// There was one and it is gone.
    Missing,
}

/// Writes a mark durably in the caller's store. The error text of a failure goes to the log.
pub type WriteMark =
    Arc<dyn Fn(Mark) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// The mark of a log in the caller's store.
#[derive(Clone)]
pub struct Marks {
    /// The mark that was stored when the log is opened.
    pub known: KnownMark,
    /// Stores the next mark. It is called off the path of events: at most a second after lines were
    /// written, or after 5,000 of them; and at a start, at a stop, and when a file is begun.
    pub write: WriteMark,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mut mark = Mark::start();
        assert_eq!(Mark::decode(&mark.encode()), Ok(mark.clone()));
        for seq in 1..=11 {
            mark.chain.advance(seq, format!("{seq:064x}"));
        }
        mark.place = Place { first: 7, start: 100, end: 200 };
        assert_eq!(Mark::decode(&mark.encode()), Ok(mark.clone()));
        let text = String::from_utf8(mark.encode()).unwrap();
        assert!(Mark::decode(text.replace("\"seq\":11", "\"seq\":12").as_bytes()).is_err());
        assert!(Mark::decode(text.replace("\"version\":1", "\"version\":2").as_bytes()).is_err());
        assert!(Mark::decode(b"").is_err());
    }

    #[test]
    fn a_mark_of_the_longest_log_is_small() {
        let mut mark = Mark::start();
        mark.chain.tip.seq = u64::MAX;
        mark.chain.tree = Tree::of(u64::MAX, vec![[7; 32]; 64]).unwrap();
        assert!(mark.encode().len() < 5 << 10);
    }
}
