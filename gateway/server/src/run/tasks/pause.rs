//! Waits until a time. A manual clock can reach it, and a clock that is set back does not delay it.

use std::time::Duration;

use chancery_identity::Clock;
use jiff::Timestamp;
use tokio::time::Instant;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The time after `pause`, and a way to wait for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) at: Timestamp,
    /// By the process's own clock, which is never set.
    due: Instant,
}

impl Until {
    pub(super) fn after(clock: &Clock, pause: Duration) -> Self {
        let at = clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        // Beyond a year nobody waits.
        let due = Instant::now() + pause.min(Duration::from_hours(365 * 24));
        Self { at, due }
    }

    pub(super) fn at(clock: &Clock, at: Timestamp) -> Self {
        let left = at.duration_since(clock.now());
        Self { at, ..Self::after(clock, Duration::try_from(left).unwrap_or_default()) }
    }

    /// Waits until one of the two clocks has come so far.
    pub(super) async fn wait(self, clock: &Clock) {
        while clock.now() < self.at && Instant::now() < self.due {
            tokio::time::sleep_until(self.due.min(Instant::now() + LOOK)).await;
        }
    }
}

/// A tenth more or less, so that gateways that were started together do not stay in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 2];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return pause;
    }
    pause.mul_f64(0.9 + 0.2 * f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jittered_pause_differs_by_a_tenth_at_most() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(100));
            assert!((90..=110).contains(&pause.as_secs()), "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn either_clock_ends_the_wait() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (hour, began) = (Duration::from_hours(1), Instant::now());
        Until::after(&clock, hour).wait(&clock).await;
        assert!(began.elapsed() >= hour);
        let until = Until::after(&clock, hour);
        clock.advance(hour);
        until.wait(&clock).await;
        assert!(began.elapsed() < hour * 2);
    }
}
