//! Who makes room in a full table, and for whom.
//!
//! Looking at each connection takes a millisecond where there are ten thousand, so a look finds several and
//! one that found too little is not repeated at once.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many a look finds at most.
const FOUND: usize = 32;

/// What was found may be used for so long, and after a look that was of no use there is none for so long.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection has to be idle for so long before it is ended to make room.
pub(super) const IDLE_ENOUGH: Duration = Duration::from_secs(1);

/// So long a stranger may take for a request where others wait for the place. Rates alone do not help: at
/// the least one a body takes minutes, and there are many addresses.
pub(super) const SLOW_ENOUGH: Duration = Duration::from_secs(5);

/// Why a connection makes room; the first go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// A stranger's, and nothing is under way.
    Idle,
    /// A stranger's that takes too long.
    Slow,
    /// A stranger's whose address has many.
    Many,
    /// Of a client with a certificate, and nothing is under way; never one of those that are reserved.
    Known,
    /// A stranger's whose address has more than the newcomer's.
    More,
    /// In a handshake at a reserved place, for too long.
    Handshake,
}

/// A connection that might make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) number: u64,
    pub(super) why: Why,
    /// How many its address has.
    pub(super) of_address: usize,
    /// Since when it has done nothing.
    pub(super) since: Instant,
}

/// Those that were found and have not been used.
#[derive(Debug, Default)]
pub(super) struct Found {
    candidates: VecDeque<Candidate>,
    looked: Option<Instant>,
}

impl Why {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Idle, Self::Slow, Self::Many, Self::Known, Self::More, Self::Handshake];

    /// A short word for metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Many | Self::More => "share",
            Self::Known => "known-idle",
            Self::Handshake => "handshake",
        }
    }
}

impl Found {
    /// Whether it is worth while to look (again): what was found has been used up, or is old.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= PAUSE)
    }

    /// Keeps the first of these.
    pub(super) fn replace(&mut self, now: Instant, mut candidates: Vec<Candidate>) {
        let order = |candidate: &Candidate| {
            // Where it counts how many an address has, the largest goes first.
            let many = match candidate.why {
                Why::Many | Why::More => usize::MAX - candidate.of_address,
                Why::Idle | Why::Slow | Why::Known | Why::Handshake => 0,
            };
            (candidate.why, many, candidate.since)
        };
        if candidates.len() > FOUND {
            candidates.select_nth_unstable_by_key(FOUND, order);
            candidates.truncate(FOUND);
        }
        candidates.sort_unstable_by_key(order);
        self.candidates = candidates.into();
        self.looked = Some(now);
    }

    /// The first that makes room as it is now.
    pub(super) fn take(&mut self, makes_room: impl Fn(u64) -> Option<Why>) -> Option<(u64, Why)> {
        let mut numbers = self.candidates.iter().map(|candidate| candidate.number).enumerate();
        let (index, number, why) = numbers
            .find_map(|(index, number)| makes_room(number).map(|why| (index, number, why)))?;
        self.candidates.remove(index);
        if self.candidates.is_empty() {
            // Each was of use, so there may be more.
            self.looked = None;
        }
        Some((number, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u64, why: Why, of_address: usize, since: Instant) -> Candidate {
        Candidate { number, why, of_address, since }
    }

    #[test]
    fn the_worst_are_found_in_order() {
        let now = Instant::now();
        let before = |seconds| now - Duration::from_secs(seconds);
        let mut found = Found::default();
        let mut all = vec![
            candidate(1, Why::More, 2, before(100)),
            candidate(2, Why::Many, 10, before(50)),
            candidate(3, Why::Many, 20, before(5)),
            candidate(4, Why::Idle, 1, before(5)),
            candidate(5, Why::Idle, 1, before(9)),
            candidate(6, Why::Known, 1, before(90)),
            candidate(7, Why::Slow, 1, before(90)),
        ];
        all.extend((100..200).map(|number| candidate(number, Why::More, 2, before(1))));
        found.replace(now, all);
        assert_eq!(found.candidates.len(), FOUND);
        let mut order = vec![];
        while let Some((number, _)) = found.take(|_| Some(Why::Idle)) {
            order.push(number);
        }
        assert_eq!(order[..8], [5, 4, 7, 3, 2, 6, 1, order[7]]);
    }

    #[test]
    fn a_look_that_was_of_use_is_repeated_and_another_is_not() {
        let now = Instant::now();
        let mut found = Found::default();
        assert!(found.is_stale(now));
        found.replace(now, vec![candidate(1, Why::Idle, 1, now), candidate(2, Why::Idle, 1, now)]);
        assert_eq!(found.take(|_| None), None, "none for this newcomer");
        assert!(!found.is_stale(now) && found.is_stale(now + PAUSE));
        assert_eq!(found.take(|number| (number == 2).then_some(Why::Idle)), Some((2, Why::Idle)));
        assert_eq!(found.take(|_| Some(Why::Slow)), Some((1, Why::Slow)));
        assert!(found.is_stale(now), "it was used up");
    }
}
