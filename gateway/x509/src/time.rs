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

/// The moment that a decoded time stands for.
pub(crate) fn from_der(time: &Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_second(seconds).ok()
}

/// Without the fraction of a second, which certificates cannot express.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
