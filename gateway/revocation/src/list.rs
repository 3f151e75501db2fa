//! When a CRL counts, and when it is looked for anew.

use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use serde::Serialize;

/// After a first failure; it doubles with each further one.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// After many failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Whether there is a CRL that says something of the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// It is in date.
    Current,
    /// Its successor should be there, and is not.
    Stale,
    /// There never was one.
    Missing,
}

impl Freshness {
    pub(crate) fn is_current(self) -> bool {
        self == Self::Current
    }
}

/// How a CRL is that is good until this moment, if there is one.
pub(crate) fn freshness(until: Option<Timestamp>, grace: Duration, now: Timestamp) -> Freshness {
    match until {
        None => Freshness::Missing,
        Some(until) if after(until, grace) >= now => Freshness::Current,
        Some(_) => Freshness::Stale,
    }
}

pub(crate) fn after(moment: Timestamp, by: Duration) -> Timestamp {
    moment.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// How long it is until the next look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pause {
    pub(crate) refresh: Duration,
    /// Until when the CRL that is in use is good.
    pub(crate) until: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Pause {
    /// After so many looks in a row that gave nothing. A little less at random, so that many gateways do not
    /// ask at once.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let pause = if failures > 0 {
            backoff(failures, LONGEST_PAUSE)
        } else {
            let left = self.until.map(|until| until.duration_since(self.now));
            match left.map(Duration::try_from) {
                // Its successor is mostly there before its end.
                Some(Ok(left)) => (left / 2).max(FIRST_PAUSE),
                // What was fetched just now is over: the successor is late.
                Some(Err(_)) => Duration::from_mins(1),
                None => self.refresh,
            }
        };
        shortened(pause.min(self.refresh))
    }
}

/// How long to wait after so many failures in a row, at least one.
pub(crate) fn backoff(failures: u32, longest: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(longest)
}

/// By up to a tenth.
fn shortened(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness it is not shortened.
    let _ = rand::fill(&mut byte);
    pause.saturating_sub(pause / 10 * u32::from(byte[0]) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_crl_counts_until_its_end_and_the_grace_after_it() {
        let of = |now| freshness(Some(at(100)), Duration::from_secs(10), at(now));
        assert_eq!(
            (of(100), of(110), of(111)),
            (Freshness::Current, Freshness::Current, Freshness::Stale)
        );
        assert_eq!(freshness(None, Duration::MAX, at(0)), Freshness::Missing);
        assert_eq!(freshness(Some(at(100)), Duration::MAX, at(1 << 34)), Freshness::Current);
    }

    #[test]
    fn looks_come_before_the_end_and_less_often_after_failures() {
        let hour = Duration::from_hours(1);
        let near = |pause: Duration, seconds| {
            let full = Duration::from_secs(seconds);
            assert!(pause <= full && pause >= full * 9 / 10, "{pause:?} is not about {full:?}");
        };
        let until = |second| Pause { refresh: hour, until: Some(at(second)), now: at(0) };
        near(until(100_000).after(0), 3600);
        near(until(1000).after(0), 500);
        near(until(1).after(0), 5);
        near(until(-1).after(0), 60);
        near(Pause { until: None, ..until(0) }.after(0), 3600);
        for (failures, seconds) in [(1, 5), (2, 10), (3, 20), (8, 600), (u32::MAX, 600)] {
            near(until(100_000).after(failures), seconds);
        }
        let often = Pause { refresh: Duration::from_secs(1), ..until(1) };
        near(often.after(0), 1);
        near(often.after(9), 1);
    }
}
