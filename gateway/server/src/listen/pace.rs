//! How slow a peer may be: a least rate, with a grace for the pauses that networks have.

use std::time::Duration;

use tokio::time::Instant;

/// The least rate of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Bytes in a second; at least 1.
    pub(crate) bytes_per_second: u32,
    /// How long in all it may be behind that.
    pub(crate) grace: Duration,
}

/// How far a peer is behind its rate. Only the time counts in which somebody waits for the peer, and
/// being fast earns nothing: after a thousand quick bytes a peer may be behind as long as before them.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    behind: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, behind: Duration::ZERO, waiting_since: None }
    }

    /// The peer is waited for.
    pub(super) fn waits(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// The peer moved some bytes.
    pub(super) fn moved(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.behind = self.behind.saturating_add(now - since);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let worth = Duration::from_secs(bytes.into()) / self.rate.bytes_per_second.max(1);
        self.behind = self.behind.saturating_sub(worth);
    }

    /// When the peer will have been too slow, unless it moves something before; none while nobody
    /// waits for it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.waiting_since? + self.rate.grace.saturating_sub(self.behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { bytes_per_second: 100, grace: Duration::from_secs(10) };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn silence_is_forgiven_for_the_grace() {
        let start = Instant::now();
        let mut pace = Pace::new(RATE);
        assert_eq!(pace.deadline(), None, "nobody waits");
        pace.waits(start);
        pace.waits(start + seconds(5));
        assert_eq!(pace.deadline(), Some(start + seconds(10)));
    }

    #[test]
    fn a_trickle_uses_the_grace_up() {
        let mut now = Instant::now();
        let mut pace = Pace::new(RATE);
        // A byte every two seconds: each pause costs nearly all of itself.
        let mut bytes = 0;
        loop {
            pace.waits(now);
            if pace.deadline().unwrap() < now + seconds(2) {
                break;
            }
            now += seconds(2);
            pace.moved(now, 1);
            bytes += 1;
        }
        assert_eq!(bytes, 5);
    }

    #[test]
    fn whoever_keeps_the_rate_goes_on_for_ever() {
        let mut now = Instant::now();
        let mut pace = Pace::new(RATE);
        for _ in 0..1000 {
            pace.waits(now);
            assert!(pace.deadline().unwrap() >= now + seconds(9));
            now += seconds(9);
            pace.moved(now, 900);
        }
    }

    #[test]
    fn nothing_is_saved_up() {
        let now = Instant::now();
        let mut pace = Pace::new(RATE);
        pace.moved(now, 1_000_000_000);
        pace.waits(now);
        assert_eq!(pace.deadline(), Some(now + seconds(10)));
    }

    #[test]
    fn the_time_in_which_nobody_waits_is_free() {
        let now = Instant::now();
        let mut pace = Pace::new(RATE);
        pace.waits(now);
        pace.moved(now + seconds(1), 1);
        pace.waits(now + seconds(1000));
        let behind = Duration::from_millis(990);
        assert_eq!(pace.deadline(), Some(now + seconds(1010) - behind));
    }
}
