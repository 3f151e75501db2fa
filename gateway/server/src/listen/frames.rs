//! The frames of HTTP/2 on their way in (RFC 9113 §4), as far as they cost something without asking for
//! anything. The library bounds floods of CONTINUATION, of small DATA and of streams that are reset before
//! they are looked at; PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM and what it does not know it handles
//! as fast as they come.

use tokio::time::Instant;

/// What a connection may send of such frames at once; also the most that it saves up.
const MOST: u32 = 1000;

/// What comes to that in a second. PINGs and SETTINGS need no more.
const PER_SECOND: u32 = 100;

/// And with each request: flow control, priorities, cancelling.
const PER_REQUEST: u32 = 10;

/// And for so many bytes that were written, since a peer that reads much opens windows and measures.
const WRITTEN: usize = 1024;

/// What SETTINGS cost, which may change every stream.
const SETTINGS_COST: u32 = 10;

/// A frame costs one more for so many bytes of payload.
const PAYLOAD: u32 = 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of the head of a frame.
const HEAD: usize = 9;

/// Types of frames (RFC 9113 §6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Of DATA and HEADERS.
const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
const ACK: u8 = 1;

/// What is sent before frames, and which frames there are.
#[derive(Debug)]
pub(super) struct Frames(Reading);

#[derive(Debug)]
enum Reading {
    /// So many bytes of the preface have come.
    Preface(usize),
    Head {
        bytes: [u8; HEAD],
        length: usize,
    },
    Payload {
        left: u32,
    },
    /// It is not HTTP/2.
    Other,
}

/// The head of a frame (RFC 9113 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// What a connection may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    since: Instant,
    written: usize,
    /// The last stream that was opened.
    last: u32,
}

impl Frames {
    /// Of a client, who begins with a preface.
    pub(super) fn of_client() -> Self {
        Self(Reading::Preface(0))
    }

    /// Of a server.
    pub(super) fn of_server() -> Self {
        Self(Reading::Head { bytes: [0; HEAD], length: 0 })
    }

    /// Whether these are frames.
    pub(super) fn are_http2(&self) -> bool {
        !matches!(self.0, Reading::Preface(_) | Reading::Other)
    }

    /// Whether it is plain that these are no frames.
    pub(super) fn are_something_else(&self) -> bool {
        matches!(self.0, Reading::Other)
    }

    /// Whether the last frame has ended.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.0, Reading::Head { length: 0, .. })
    }

    /// Reads on. `each` gets the head of each frame that is complete.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Head)) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.0 {
                Reading::Other => return,
                Reading::Preface(matched) => {
                    bytes = rest;
                    let fits = PREFACE.get(*matched) == Some(first);
                    *matched += 1;
                    if !fits {
                        self.0 = Reading::Other;
                    } else if *matched == PREFACE.len() {
                        *self = Self::of_server();
                    }
                }
                Reading::Payload { left } => {
                    let skipped =
                        usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    *left -= u32::try_from(skipped).unwrap_or(*left);
                    if *left == 0 {
                        *self = Self::of_server();
                    }
                }
                Reading::Head { bytes: head, length } => {
                    bytes = rest;
                    if let Some(byte) = head.get_mut(*length) {
                        *byte = *first;
                    }
                    *length += 1;
                    if *length == HEAD {
                        let head = Head::parse(*head);
                        each(head);
                        if head.length > 0 {
                            self.0 = Reading::Payload { left: head.length };
                        } else {
                            *self = Self::of_server();
                        }
                    }
                }
            }
        }
    }
}

impl Head {
    fn parse(head: [u8; HEAD]) -> Self {
        let [long, middle, short, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, long, middle, short]);
        // The first bit is reserved.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Self { length, kind, flags, stream }
    }

    /// What it costs; none for what has bounds of its own.
    fn cost(self) -> Option<u32> {
        let flag = |flag| self.flags & flag != 0;
        match self.kind {
            kind::DATA if self.length > 0 || flag(END_STREAM) => None,
            kind::HEADERS | kind::CONTINUATION => None,
            kind::SETTINGS if !flag(ACK) => Some(SETTINGS_COST + self.length / PAYLOAD),
            _ => Some(1 + self.length / PAYLOAD),
        }
    }
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: MOST, since: now, written: 0, last: 0 }
    }

    /// The last stream that the peer opened.
    pub(super) fn last_stream(&self) -> u32 {
        self.last
    }

    /// A frame has come. False if it is one too many.
    pub(super) fn allows(&mut self, head: Head, now: Instant) -> bool {
        if head.kind == kind::HEADERS && head.stream > self.last {
            self.last = head.stream;
            self.earn(PER_REQUEST);
            return true;
        }
        let Some(cost) = head.cost() else { return true };
        self.earn_by_time(now);
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// The peer took bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
        self.earn(u32::try_from(self.written / WRITTEN).unwrap_or(MOST));
        self.written %= WRITTEN;
    }

    fn earn_by_time(&mut self, now: Instant) {
        let milliseconds = now.saturating_duration_since(self.since).as_millis();
        let earned = milliseconds.saturating_mul(u128::from(PER_SECOND)) / 1000;
        if earned > 0 {
            self.since = now;
            self.earn(u32::try_from(earned).unwrap_or(MOST));
        }
    }

    fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        let mut bytes = vec![a, b, c, kind, flags];
        bytes.extend(stream.to_be_bytes());
        bytes.resize(HEAD + usize::try_from(length).unwrap(), 0xff);
        bytes
    }

    fn read(frames: &mut Frames, bytes: &[u8]) -> Vec<Head> {
        let mut heads = vec![];
        frames.read(bytes, |head| heads.push(head));
        heads
    }

    proptest! {
        #[test]
        fn frames_are_read_wherever_the_bytes_are_cut(
            all in prop::collection::vec((0_u8..12, any::<u8>(), 0_u32..9, 0_u32..300), 0..20),
            cuts in prop::collection::vec(1_usize..50, 1..50),
        ) {
            let mut bytes = PREFACE.to_vec();
            for (kind, flags, stream, length) in &all {
                bytes.extend(frame(*kind, *flags, *stream, *length));
            }
            let (mut frames, mut heads, mut left) = (Frames::of_client(), vec![], &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (part, rest) = left.split_at((*cut).min(left.len()));
                heads.extend(read(&mut frames, part));
                left = rest;
                if left.is_empty() {
                    break;
                }
            }
            let expected: Vec<_> = all
                .into_iter()
                .map(|(kind, flags, stream, length)| Head { length, kind, flags, stream })
                .collect();
            prop_assert_eq!(heads, expected);
            prop_assert!(frames.are_http2() && frames.at_boundary());
        }
    }

    #[test]
    fn http1_has_no_frames() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nXX"] {
            let mut frames = Frames::of_client();
            assert!(read(&mut frames, text.as_bytes()).is_empty());
            assert!(!frames.are_http2(), "{text}");
        }
    }

    #[test]
    fn frames_that_ask_for_nothing_are_allowed_at_a_rate() {
        let now = Instant::now();
        for (kind, flags, length, at_once) in [
            (6, 0, 8, MOST),
            (6, ACK, 8, MOST),
            (4, 0, 0, MOST / SETTINGS_COST),
            (4, ACK, 0, MOST),
            (2, 0, 5, MOST),
            (3, 0, 4, MOST),
            (8, 0, 4, MOST),
            (0xee, 0, 3 * PAYLOAD, MOST / 4),
            (kind::DATA, 0, 0, MOST),
        ] {
            let mut allowance = Allowance::new(now);
            let head = Head { length, kind, flags, stream: 0 };
            for count in 0..at_once {
                assert!(allowance.allows(head, now), "{count} of {head:?}");
            }
            assert!(!allowance.allows(head, now), "{head:?}");
            let later = now + Duration::from_secs(1);
            let again = (0..MOST).filter(|_| allowance.allows(head, later)).count();
            assert_eq!(again * usize::try_from(MOST / at_once).unwrap(), 100, "{head:?}");
        }
    }

    #[test]
    fn what_is_done_for_a_peer_allows_it_more() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let ping = Head { length: 8, kind: 6, flags: 0, stream: 0 };
        while allowance.allows(ping, now) {}
        let request = |stream| Head { length: 20, kind: kind::HEADERS, flags: 5, stream };
        assert!(allowance.allows(request(1), now));
        assert_eq!((0..20).filter(|_| allowance.allows(ping, now)).count(), 10);
        assert!(allowance.allows(request(1), now));
        assert!(!allowance.allows(ping, now), "that was no new request");
        assert_eq!(allowance.last_stream(), 1);
        allowance.wrote(5 * WRITTEN + 1);
        assert_eq!((0..20).filter(|_| allowance.allows(ping, now)).count(), 5);
        allowance.wrote(usize::MAX);
        assert_eq!((0..2 * MOST).filter(|_| allowance.allows(ping, now)).count(), 1000);
        let data = Head { length: 1, kind: kind::DATA, flags: 0, stream: 1 };
        let end = Head { length: 0, kind: kind::DATA, flags: END_STREAM, stream: 1 };
        assert!(allowance.allows(data, now) && allowance.allows(end, now));
    }
}
