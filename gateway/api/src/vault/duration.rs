//! Parses durations as Vault's clients write them, and shows durations as Go does.

use std::fmt::Write;
use std::time::Duration;

/// A span of time as the API's clients write it: a number of seconds, or texts like `90`, `1h30m`,
/// `1.5h`, `300ms`, `-1s` (Go's durations, and `d` for days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ApiDuration {
    pub(super) negative: bool,
    pub(super) length: Duration,
}

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl ApiDuration {
    /// The duration with this text; none if it is not one, or longer than 500 years.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let nanos = match text.parse::<u64>() {
            Ok(seconds) if !text.starts_with('+') => {
                u128::from(seconds).checked_mul(1_000_000_000)?
            }
            _ => units(text)?,
        };
        let length = Duration::from_nanos(u64::try_from(nanos).ok()?);
        Some(Self { negative: negative && !length.is_zero(), length })
    }
}

fn units(mut text: &str) -> Option<u128> {
    let mut total: u128 = 0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, rest) = text.split_at(number);
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(digits, *scale)?)?;
        text = rest;
    }
    Some(total)
}

/// `digits`, perhaps with a fraction, times `scale`, rounded down.
fn scaled(digits: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || digits.len() > 30 || fraction.contains('.') {
        return None;
    }
    let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let mut total = number(whole)?.checked_mul(scale)?;
    if let Some(divisor) = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?) {
        total = total.checked_add(number(fraction)?.checked_mul(scale)?.checked_div(divisor)?)?;
    }
    Some(total)
}

/// The way Go shows a duration: `0s`, `1.5s`, `2m0s`, `3h25m19s`, `250ms`.
pub(super) fn show(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", with_fraction(nanos, 1_000)),
            _ => format!("{}ms", with_fraction(nanos, 1_000_000)),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    // Writing to a String cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let rest = nanos % 60_000_000_000;
    let _ = write!(text, "{}s", with_fraction(rest, 1_000_000_000));
    text
}

fn with_fraction(nanos: u128, unit: u128) -> String {
    let places = unit.ilog10() as usize;
    let text = format!("{}.{:0places$}", nanos / unit, nanos % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Duration> {
        ApiDuration::parse(text).filter(|d| !d.negative).map(|d| d.length)
    }

    #[test]
    fn reads_seconds_and_units() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("90", 90_000),
            ("+5s", 5_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("3h25m19s", 12_319_000),
            ("300ms", 300),
            ("2d", 172_800_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parsed(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert!(ApiDuration::parse("-1s").unwrap().negative);
        assert!(ApiDuration::parse("-30").unwrap().negative);
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "-",
            "+",
            "++1",
            "h",
            "1x",
            "1h 2m",
            "1.2.3s",
            ".s",
            "1e3",
            "é",
            "99999999999d",
            "1.0000000000000000000000000000000000000000000s",
            "18446744073709551616",
        ] {
            assert_eq!(ApiDuration::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shows_as_go_does() {
        for text in [
            "0s",
            "1s",
            "1.5s",
            "1m0s",
            "2m3s",
            "1h0m0s",
            "3h25m19s",
            "8760h0m0s",
            "250ms",
            "1.5ms",
            "15µs",
            "7ns",
        ] {
            assert_eq!(show(parsed(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(nanos in any::<u64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parsed(&show(duration)), Some(duration));
        }

        #[test]
        fn never_panics(text in "[-+0-9.hmsuµnd]{0,40}") {
            let _ = ApiDuration::parse(&text);
        }
    }
}
