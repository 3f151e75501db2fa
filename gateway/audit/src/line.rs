//! The line format.
//!
//! A line is one JSON object and a newline. It begins with `"seq"` (1, 2, 3 …) and `"time"` (when
//! it was written, UTC) and ends with `"prev"`, the hash of the line before (64 zeros in the first
//! line), and `"hash"`: SHA-256 of every byte of the line before `,"hash":`. Hashes are 64
//! lower-case hex digits. Since the hash is over bytes as they stand in the file, checking it needs
//! no canonical form of JSON.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Deserialize;

/// The longest line that is written or read, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// Where a chain stands: number and hash of its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// `seq` of the last line; 0 before the first.
    pub seq: u64,
    /// `hash` of the last line; 64 zeros before the first.
    pub hash: String,
}

impl Tip {
    /// Before the first line.
    pub fn start() -> Self {
        Self { seq: 0, hash: "0".repeat(64) }
    }
}

/// What makes a line part of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Number of the line.
    pub seq: u64,
    /// Hash of the line before.
    pub prev: String,
    /// Hash that the line states of itself.
    pub hash: String,
    /// Hash that the line has.
    #[serde(skip)]
    pub computed: String,
}

const HASH_FIELD: &str = r#","hash":""#;
const HASH_SUFFIX: usize = HASH_FIELD.len() + 64 + r#""}"#.len();

/// Appends the line that follows `tip` to `out` and returns the new tip. `event` is the JSON object
/// of the event, which has at least one field.
pub(crate) fn write(out: &mut Vec<u8>, tip: &Tip, time: Timestamp, event: &[u8]) -> Tip {
    let start = out.len();
    let seq = tip.seq + 1;
    let fields = event.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    out.extend_from_slice(format!(r#"{{"seq":{seq},"time":"{time}","#).as_bytes());
    out.extend_from_slice(fields.unwrap_or_default());
    out.extend_from_slice(format!(r#","prev":"{}""#, tip.hash).as_bytes());
    let hash = hash_of(out.get(start..).unwrap_or_default());
    out.extend_from_slice(format!("{HASH_FIELD}{hash}\"}}\n").as_bytes());
    Tip { seq, hash }
}

/// Reads the chain's part of a line (given without its newline). None if it is not a line of an
/// audit log.
pub fn read(line: &[u8]) -> Option<Link> {
    let (hashed, suffix) = line.split_at_checked(line.len().checked_sub(HASH_SUFFIX)?)?;
    let mut link: Link = serde_json::from_slice(line).ok()?;
    let expected = format!("{HASH_FIELD}{}\"}}", link.hash);
    if suffix != expected.as_bytes() {
        return None;
    }
    link.computed = hash_of(hashed);
    Some(link)
}

fn hash_of(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, &Tip::start(), Timestamp::UNIX_EPOCH, br#"{"operation":"a"}"#);
        out
    }

    #[test]
    fn a_line_is_one_json_object_with_its_place_in_the_chain() {
        let text = String::from_utf8(line()).unwrap();
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(value["seq"], 1);
        assert_eq!(value["time"], "1970-01-01T00:00:00Z");
        assert_eq!(value["operation"], "a");
        assert_eq!(value["prev"], "0".repeat(64));
        let hashed = text.split(",\"hash\"").next().unwrap();
        assert_eq!(value["hash"], hash_of(hashed.as_bytes()));
    }

    #[test]
    fn no_single_changed_byte_passes() {
        let good = line();
        let good = good.strip_suffix(b"\n").unwrap();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            let passes = read(&bad).is_some_and(|link| link.computed == link.hash);
            assert!(!passes, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
