//! The clock: the machine's, or a manual one for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// The time of day, passed in wherever behaviour depends on it, so that expiry is tested without
/// waiting.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` (in whole milliseconds) until it is [advanced](Self::advance).
    /// Clones share their time.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millisecond()))))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
            Source::System => Timestamp::now(),
            Source::Manual(millis) => {
                Timestamp::from_millisecond(millis.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Moves a manual clock forward; the machine's clock cannot be moved and ignores this.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            let step = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            millis.fetch_add(step, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_share_their_time() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let seen_elsewhere = clock.clone();
        clock.advance(Duration::from_secs(90));
        assert_eq!(seen_elsewhere.now().as_second(), 90);
    }
}
