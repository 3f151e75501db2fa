use serde::{Deserialize, Deserializer, de::Error};

/// A length of time in settings, written as a whole number and a unit: `30s`, `15m`, `24h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    seconds: u64,
}

impl Period {
    /// So many hours.
    pub fn hours(hours: u64) -> Self {
        Self { seconds: hours.saturating_mul(3_600) }
    }

    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.seconds
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
        (seconds > 0).then_some(Self { seconds })
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is not a period: write a number and s, m, h or d, as in `90d`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_and_a_unit_and_nothing_else() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("24h", 86_400), ("90d", 7_776_000)] {
            assert_eq!(Period::parse(text), Some(Period { seconds }), "{text}");
        }
        for bad in ["", "5", "d", "0s", "-1s", "1.5h", "1 h", "1w", "1D", "9999999999999999999d"] {
            assert_eq!(Period::parse(bad), None, "{bad}");
        }
    }
}
