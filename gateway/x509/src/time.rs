//! Converts between timestamps and the times in certificates (RFC 5280 §4.1.2.5).

use std::time::Duration;

use der::DateTime;
use der::asn1::{GeneralizedTime, UtcTime};
use jiff::Timestamp;
use x509_cert::time::Time;

/// The encoding that RFC 5280 §4.1.2.5 prescribes: `UTCTime` through 2049, `GeneralizedTime` from
/// 2050, in whole seconds. None before 1970 and after 9999.
pub(crate) fn to_der(time: Timestamp) -> Option<Time> {
    let seconds = u64::try_from(time.as_second()).ok()?;
    let date = DateTime::from_unix_duration(Duration::from_secs(seconds)).ok()?;
    if date.year() < 2050 {
        UtcTime::from_date_time(date).ok().map(Time::UtcTime)
    } else {
        Some(Time::GeneralTime(GeneralizedTime::from_date_time(date)))
    }
}

/// The moment that a decoded time stands for. A [`Timestamp`] ends a day before the year 9999 does, so
/// that 99991231235959Z, which says that there is no end (RFC 5280 §4.1.2.5), is the last one there is.
pub(crate) fn from_der(time: &Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Some(Timestamp::from_second(seconds).unwrap_or_else(|_| whole_seconds(Timestamp::MAX)))
}

/// Without the fraction of a second, which certificates cannot express.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_time_is_a_time() {
        let never = DateTime::new(9999, 12, 31, 23, 59, 59).unwrap();
        let never = Time::GeneralTime(GeneralizedTime::from_date_time(never));
        let read = from_der(&never).unwrap();
        assert!(read > "9999-12-30T00:00:00Z".parse().unwrap());
        assert!(to_der(read).is_some(), "what is read can be written");
    }
}
