//! Moments and hours of the week.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

const DAY: i64 = 86_400;

/// A moment, in seconds since 1970. Written as RFC 3339 has it, in UTC: `2026-03-01T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(i64);

impl Moment {
    /// Reads the text; fractions of a second are passed over.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('Z')?;
        let (date, time) = text.split_once('T')?;
        let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(whole, ':', [2, 2, 2])?;
        let is_time = (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            // 60 is a leap second.
            && second <= 60
            && fraction.bytes().all(|b| b.is_ascii_digit());
        is_time.then(|| Self(days(year, month, day) * DAY + hour * 3_600 + minute * 60 + second))
    }
}

/// The numbers in a text, each of so many digits.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let day_of_year = (153 * since_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a moment, as in `2026-03-01T12:00:00Z`"))
        })
    }
}

/// Hours on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hours {
    /// The days on which they begin; none: every day.
    #[serde(default)]
    days: Vec<Weekday>,
    /// When they begin.
    from: TimeOfDay,
    /// When they are over; at or before the beginning it is the next day.
    to: TimeOfDay,
    /// What is added to UTC, as `+01:00`. There is no summer time.
    #[serde(default)]
    offset: Offset,
}

impl Hours {
    pub(crate) fn has(&self, now: Moment) -> bool {
        let local = now.0 + self.offset.0;
        let (day, second) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (from, to) = (self.from.0, self.to.0);
        if from < to {
            return (from..to).contains(&second) && self.on(day);
        }
        (second >= from && self.on(day)) || (second < to && self.on(day - 1))
    }

    /// Whether they begin on this day, counted from 1970-01-01, a Thursday.
    fn on(&self, day: i64) -> bool {
        let weekday = (day + 3).rem_euclid(7);
        self.days.is_empty() || self.days.iter().any(|one| *one as i64 == weekday)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// Seconds since midnight, written `08:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeOfDay(i64);

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match numbers(&text, ':', [2, 2]) {
            Some([hour, minute]) if minute < 60 && hour * 60 + minute <= 24 * 60 => {
                Ok(Self(hour * 3_600 + minute * 60))
            }
            _ => Err(D::Error::custom(format!("`{text}` is not a time of day, as in `08:30`"))),
        }
    }
}

/// Seconds east of Greenwich, written `+01:00`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Offset(i64);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sign = match text.get(..1) {
            Some("+") => Some(1),
            Some("-") => Some(-1),
            _ => None,
        };
        let parts = text.get(1..).and_then(|rest| numbers(rest, ':', [2, 2]));
        match (sign, parts) {
            (Some(sign), Some([hours, minutes])) if hours <= 14 && minutes < 60 => {
                Ok(Self(sign * (hours * 3_600 + minutes * 60)))
            }
            _ => Err(D::Error::custom(format!("`{text}` is not an offset, as in `+01:00`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_seconds_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-27T07:30:01.5Z", 1_795_764_601),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(seconds)), "{text}");
        }
        for bad in [
            "",
            "2026-03-01",
            "2026-13-01T00:00:00Z",
            "2026-03-01T24:00:00Z",
            "2026-03-01T00:00:00+01:00",
            "2026-3-1T00:00:00Z",
            "2026-03-01T00:00:00.xZ",
        ] {
            assert_eq!(Moment::parse(bad), None, "{bad}");
        }
    }

    fn hours(json: &str) -> Hours {
        serde_json::from_str(json).unwrap()
    }

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours(r#"{"days": ["fri"], "from": "22:00", "to": "06:00"}"#);
        // 2026-03-06 is a Friday.
        for (time, expected) in [
            ("2026-03-06T22:00:00Z", true),
            ("2026-03-07T05:59:59Z", true),
            ("2026-03-07T06:00:00Z", false),
            ("2026-03-06T05:00:00Z", false),
            ("2026-03-07T22:00:00Z", false),
        ] {
            assert_eq!(night.has(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn an_offset_moves_the_hours_and_the_day() {
        let morning =
            hours(r#"{"days": ["sat"], "from": "00:00", "to": "02:00", "offset": "+01:00"}"#);
        assert!(morning.has(at("2026-03-06T23:00:00Z")));
        assert!(!morning.has(at("2026-03-07T01:00:00Z")));
        let whole = hours(r#"{"from": "00:00", "to": "24:00", "offset": "-05:30"}"#);
        assert!(whole.has(at("2026-03-07T01:00:00Z")));
        for bad in [r#""25:00""#, r#""8:00""#, r#""24:01""#, "800"] {
            assert!(serde_json::from_str::<TimeOfDay>(bad).is_err(), "{bad}");
        }
        for bad in [r#""01:00""#, r#""+15:00""#, r#""é1:00""#, r#""""#] {
            assert!(serde_json::from_str::<Offset>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_each_other(year in 1i64..9999, month in 1i64..=12, day in 1i64..28) {
            prop_assert_eq!(days(year, month, day) + 1, days(year, month, day + 1));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = Moment::parse(&text);
        }
    }
}
