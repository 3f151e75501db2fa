//! The line format.
//!
//! A line is one JSON object and a newline. It begins with `"seq"` (1, 2, 3 …) and `"time"` (when
//! it was written, UTC) and ends with
//!
//! - `"prev"`, the hash of the line before (64 zeros in the first line),
//! - `"hash"`: SHA-256 of every byte of the line before `,"hash":`,
//! - `"mac"`: HMAC-SHA-256 of the 64 digits of the hash, under a key that is derived from the audit
//!   key. Lines of the first format, which earlier gateways wrote, have none.
//!
//! Hashes are 64 lower-case hex digits. The hash covers bytes as they are in the file, so checking it
//! needs no canonical form of JSON. With the hashes anybody who has the lines can see that none is
//! missing or moved; with the MACs the holder of the key can see that nobody else wrote them.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Deserialize;

use crate::AuditKey;
use crate::tree::{Hash, Tree};

/// The longest line that is read, in bytes. The lines that the gateway writes are much shorter.
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
    /// MAC of the hash; none in the first format.
    #[serde(default)]
    pub mac: Option<String>,
    /// Hash that the line has.
    #[serde(skip)]
    pub computed: String,
}

const HASH_FIELD: &str = r#","hash":""#;
const MAC_FIELD: &str = r#"","mac":""#;
const END: &str = r#""}"#;
const DIGITS: usize = 64;

/// A chain with the data that its next line needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) tip: Tip,
    pub(crate) tree: Tree,
}

impl Chain {
    /// Before the first line.
    pub(crate) fn start() -> Self {
        Self { tip: Tip::start(), tree: Tree::default() }
    }

    /// Advances to a line that is in its place.
    pub(crate) fn advance(&mut self, seq: u64, hash: String) {
        self.tree.push(&leaf(&hash));
        self.tip = Tip { seq, hash };
    }

    /// Advances to line `seq` where the lines before it are lost: their hashes count as zeros.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        while self.tip.seq + 1 < seq {
            self.tree.push(&Hash::default());
            self.tip.seq += 1;
        }
    }

    /// Appends the next line to `out`. `event` is the JSON object of the event, which has at least one
    /// field.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        time: Timestamp,
        event: &[u8],
        key: &AuditKey,
    ) {
        let start = out.len();
        let seq = self.tip.seq + 1;
        let fields = event.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
        out.extend_from_slice(format!(r#"{{"seq":{seq},"time":"{time}","#).as_bytes());
        out.extend_from_slice(fields.unwrap_or_default());
        out.extend_from_slice(format!(r#","prev":"{}""#, self.tip.hash).as_bytes());
        let hash = hash_of(out.get(start..).unwrap_or_default());
        let mac = key.mac_line(&hash);
        out.extend_from_slice(format!("{HASH_FIELD}{hash}{MAC_FIELD}{mac}{END}\n").as_bytes());
        self.advance(seq, hash);
    }
}

/// Reads the chain's part of a line (given without its newline). None if it is not a line of an
/// audit log.
pub fn read(line: &[u8]) -> Option<Link> {
    let mut link: Link = serde_json::from_slice(line).ok()?;
    let (mut suffix, mac) = (format!("{HASH_FIELD}{}", link.hash), link.mac.as_deref());
    if let Some(mac) = mac {
        suffix.push_str(MAC_FIELD);
        suffix.push_str(mac);
    }
    suffix.push_str(END);
    let is_digest = |text: &str| {
        text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !is_digest(&link.hash) || !mac.is_none_or(is_digest) {
        return None;
    }
    link.computed = hash_of(line.strip_suffix(suffix.as_bytes())?);
    Some(link)
}

fn hash_of(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The hash of a line as a leaf of the tree.
fn leaf(hash: &str) -> Hash {
    let mut leaf = Hash::default();
    // Reading refuses a line with an invalid hash.
    let _ = hex::decode_to_slice(hash, &mut leaf);
    leaf
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn key() -> AuditKey {
        AuditKey::new(&Zeroizing::new(vec![7; 32])).unwrap()
    }

    fn line() -> Vec<u8> {
        let mut out = Vec::new();
        let event = br#"{"operation":"a"}"#;
        Chain::start().write(&mut out, Timestamp::UNIX_EPOCH, event, &key());
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
        assert_eq!(value["mac"], key().mac_line(value["hash"].as_str().unwrap()));
    }

    #[test]
    fn no_single_changed_byte_passes() {
        let good = line();
        let good = good.strip_suffix(b"\n").unwrap();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            let passes = read(&bad).is_some_and(|link| {
                let made = link.mac.is_some_and(|mac| key().made_line(&link.hash, &mac));
                link.computed == link.hash && made
            });
            assert!(!passes, "byte {at}");
        }
    }

    #[test]
    fn a_line_of_the_first_format_is_read() {
        let hash = hash_of(br#"{"seq":1,"prev":"x""#);
        let line = format!(r#"{{"seq":1,"prev":"x","hash":"{hash}"}}"#);
        let link = read(line.as_bytes()).unwrap();
        assert_eq!((link.mac, link.computed), (None, hash));
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
