//! How long an order is put off.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How long to wait after the first try; twice as long after each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// That an order was tried and put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// When it is tried again.
    pub until: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

impl PutOff {
    /// After one more try at `now`, of an order that ends at `expires`; none if that is over.
    pub(super) fn after(before: Option<Self>, now: Timestamp, expires: Timestamp) -> Option<Self> {
        let tried = before.map_or(0, |before| before.tries);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tried)).min(LONGEST_PAUSE);
        (now < expires)
            .then(|| Self { until: expires.min(now + pause), tries: tried.saturating_add(1) })
    }

    /// How long after `now` it is tried again.
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.until.duration_since(now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes_and_end_with_the_order() {
        let expires = Timestamp::UNIX_EPOCH + Duration::from_hours(12);
        let (mut now, mut last) = (Timestamp::UNIX_EPOCH, None);
        let mut pauses = Vec::new();
        while let Some(next) = PutOff::after(last, now, expires) {
            pauses.push(next.left(now).as_secs());
            (now, last) = (next.until, Some(next));
        }
        assert_eq!(pauses[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(pauses.iter().all(|pause| *pause <= 300));
        assert_eq!((now, pauses.iter().sum()), (expires, 12 * 3600));
        assert_eq!(last.map(|last| last.tries), u32::try_from(pauses.len()).ok());
        let often = PutOff { until: now, tries: u32::MAX };
        assert!(PutOff::after(Some(often), Timestamp::UNIX_EPOCH, expires).is_some());
    }
}
